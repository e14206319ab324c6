/**
 * Manifests all or nothing: only one whose every entry was verified becomes a `VerifiedManifest`, which is
 * what an import asks for.
 */
import { isRefusal, refuse } from '../ports/faults.ts';
import { maximumImport } from './importRules.ts';
import {
  type ImportedElement,
  type ManifestPorts,
  ManifestReader,
  type ManifestRefused,
  type ManifestTrust,
} from './manifestReader.ts';

export type { ImportedElement, ManifestRefused, ManifestTrust } from './manifestReader.ts';

const verified: unique symbol = Symbol('verified');

/** Every entry was verified. Only this module makes one. */
export class VerifiedManifest {
  readonly #elements: readonly ImportedElement[];

  constructor(proof: typeof verified, elements: readonly ImportedElement[]) {
    if (proof !== verified) throw new TypeError('a manifest is verified by ManifestVerifier');
    this.#elements = elements;
  }

  get elements(): readonly ImportedElement[] {
    return this.#elements;
  }
}

/** Spent by its first refusal and by `finish`. */
export class ManifestVerifier {
  readonly #reader: ManifestReader;
  #elements: ImportedElement[] = [];
  #spent = false;

  /** Throws where a pinned signer is of no use, see `ManifestSigners`, or an anchor is no certificate. */
  constructor(trust: ManifestTrust, ports: ManifestPorts) {
    this.#reader = new ManifestReader(trust, ports);
  }

  /** The next bytes of the file, of any length. */
  push(chunk: Uint8Array): ManifestRefused | undefined {
    this.#refuseSpent();
    const elements = this.#reader.push(chunk);
    if (isRefusal(elements)) return this.#refused(elements);
    for (const element of elements) this.#elements.push(element);
    if (this.#elements.length <= maximumImport) return undefined;
    const refusal = refuse(
      'too-many',
      `a manifest is imported in parts of ${maximumImport} entries`,
    );
    return this.#refused({ ...refusal, entry: maximumImport });
  }

  /** The file ends here. */
  finish(): VerifiedManifest | ManifestRefused {
    this.#refuseSpent();
    const refused = this.#reader.end();
    if (refused !== undefined) return this.#refused(refused);
    this.#spent = true;
    return new VerifiedManifest(verified, this.#elements);
  }

  /** Nothing verified so far is kept. */
  #refused(refused: ManifestRefused): ManifestRefused {
    this.#spent = true;
    this.#elements = [];
    return refused;
  }

  #refuseSpent(): void {
    if (this.#spent) throw new TypeError('this manifest was refused or is finished');
  }
}
