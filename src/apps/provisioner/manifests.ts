/** Manifests on their way into the registry: from files of other makers, and from our own authority. */
import { createReadStream } from 'node:fs';
import { nodeCrypto } from '../../drivers/keys/software/nodeCrypto.ts';
import type { SoftwareVerifier } from '../../drivers/keys/software/verifier.ts';
import type { ManifestOrder } from '../../servers/local/provisioner.ts';
import type { Hierarchy, ProvisioningAuthority } from '../../trust/ports/authority.ts';
import { EnvironmentError, isRefusal, type Refusal } from '../../trust/ports/faults.ts';
import type { ForeignAuthority } from '../../trust/ports/registryStore.ts';
import { importElements } from '../../trust/registry/elementImport.ts';
import {
  type ManifestTrust,
  ManifestVerifier,
  type VerifiedManifest,
} from '../../trust/registry/manifestImport.ts';
import type { ImportSummary, Registry } from '../../trust/registry/registry.ts';
import { toHex } from '../../wire/bytes/hex.ts';

export interface ManifestPorts {
  readonly registry: Registry;
  readonly verifier: SoftwareVerifier;
  readonly authority: Pick<ProvisioningAuthority, 'manifestsAfter'>;
  readonly hierarchy: () => Hierarchy;
  readonly owner: string;
  /** The doors have to learn the authorities of another maker. */
  readonly onForeignAuthorities: () => Promise<void>;
}

export class Manifests {
  readonly #ports: ManifestPorts;
  #pulling: Promise<Refusal<string> | undefined> | undefined;

  constructor(ports: ManifestPorts) {
    this.#ports = ports;
  }

  /** A file on this machine. Its elements' authorities may vouch for them at the device door from now on. */
  async importFile(order: ManifestOrder): Promise<ImportSummary | Refusal<string>> {
    const { registry, owner, onForeignAuthorities } = this.#ports;
    const manifest = await this.#verifyFile(order);
    if (isRefusal(manifest)) return manifest;
    const authorities = authoritiesOf(order, manifest);
    const full = await registry.roomForForeign(authorities.length);
    if (full !== undefined) return full;
    const { product, state } = order;
    const terms = { owner, product, state };
    const summary = await importElements(registry, nodeCrypto, manifest, terms);
    if (isRefusal(summary)) return summary;
    // A crash before this line leaves known devices that cannot enrol until the import is repeated.
    if ((await registry.trustForeign(authorities)) > 0) await onForeignAuthorities();
    return summary;
  }

  /**
   * Imports what the authority has signed since the last time. The refusal of a manifest stops it, so that
   * none is passed over. Several calls at a time are one.
   */
  pull(): Promise<Refusal<string> | undefined> {
    this.#pulling ??= this.#pull().finally(() => (this.#pulling = undefined));
    return this.#pulling;
  }

  async #pull(): Promise<Refusal<string> | undefined> {
    const { registry, authority, hierarchy, owner } = this.#ports;
    for (;;) {
      const { roots, factory, manifestSigners } = hierarchy();
      const manifests = await authority.manifestsAfter(await registry.lastManifest());
      if (manifests.length === 0) return undefined;
      for (const { sequence, bytes } of manifests) {
        const verifier = this.#verifier({
          format: 'birthmark',
          signers: manifestSigners,
          // A PAI stands below no root of this installation.
          anchors: [...roots, ...factory],
        });
        const manifest = verifier.push(bytes) ?? verifier.finish();
        if (isRefusal(manifest)) return manifest;
        const terms = { owner, product: undefined, state: 'released' } as const;
        const summary = await importElements(registry, nodeCrypto, manifest, terms);
        if (isRefusal(summary)) return summary;
        // A crash before this line imports the same manifest again, which changes nothing.
        await registry.noteManifest(sequence);
      }
    }
  }

  async #verifyFile(order: ManifestOrder): Promise<VerifiedManifest | Refusal<string>> {
    const { file, format, signers, anchors } = order;
    const verifier = this.#verifier({ format, signers, anchors });
    try {
      for await (const chunk of createReadStream(file)) {
        if (!(chunk instanceof Uint8Array)) throw new TypeError('a file of bytes was opened');
        const refused = verifier.push(chunk);
        if (refused !== undefined) return refused;
      }
    } catch (cause) {
      if (!(cause instanceof Error) || !('syscall' in cause)) throw cause;
      throw new EnvironmentError(cause.message, { retryable: false, cause });
    }
    return verifier.finish();
  }

  #verifier(trust: ManifestTrust): ManifestVerifier {
    return new ManifestVerifier(trust, { crypto: nodeCrypto, verifier: this.#ports.verifier });
  }
}

function authoritiesOf(order: ManifestOrder, manifest: VerifiedManifest): ForeignAuthority[] {
  const intermediates = new Map<string, Uint8Array>();
  for (const { certificates } of manifest.elements) {
    for (const certificate of certificates.slice(1)) {
      intermediates.set(toHex(nodeCrypto.hash('SHA-256', certificate)), certificate);
    }
  }
  const anchors = order.anchors.map((certificate) => ({ role: 'anchor', certificate }) as const);
  const others = [...intermediates.values()]
    .filter((certificate) => !anchors.some((anchor) => same(anchor.certificate, certificate)))
    .map((certificate) => ({ role: 'intermediate', certificate }) as const);
  return [...anchors, ...others];
}

function same(left: Uint8Array, right: Uint8Array): boolean {
  return Buffer.compare(left, right) === 0;
}
