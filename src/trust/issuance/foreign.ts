/**
 * Devices whose elements another maker personalized. The authority has not made their identity, so it
 * decides by itself whose birth certificates it believes: a person pins the other maker's authority for a
 * product and says how many devices there will be; the first request binds a device to its certificate
 * for good. The provisioner's word counts for nothing but which of our devices this is.
 */
import { equal } from '../../wire/bytes/bytes.ts';
import { MalformedError } from '../../wire/bytes/malformed.ts';
import type { Crypto } from '../../wire/crypto/crypto.ts';
import { parseCertificate } from '../../wire/x509/certificate.ts';
import {
  decodeBasicConstraints,
  extensionOids,
  findExtension,
} from '../../wire/x509/extensions.ts';
import type { Certificate } from '../../wire/x509/model.ts';
import type { Approved } from '../approvals/permissions.ts';
import { refuseApproval } from '../approvals/refusals.ts';
import { encodeAuditEntry } from '../audit/entry.ts';
import { verifyPath } from '../peers/paths.ts';
import type { SpendingFault } from '../ports/approvalStore.ts';
import type { Clock } from '../ports/clock.ts';
import type { LdevidRequest } from '../ports/enrolment.ts';
import { isRefusal, type Refusal, refuse } from '../ports/faults.ts';
import type {
  BindingOutcome,
  ForeignAnchor,
  ForeignDevice,
  ForeignStore,
} from '../ports/foreignStore.ts';
import type { SignatureVerifier } from '../ports/keys.ts';
import { identifierOfKey } from './issuer.ts';

export interface ForeignOptions {
  readonly store: ForeignStore;
  readonly crypto: Crypto;
  readonly clock: Clock;
  readonly verifier: SignatureVerifier;
}

export type AnchorRefusal = Refusal<
  'malformed' | 'not-an-authority' | 'count-too-low' | 'unknown' | SpendingFault
>;

export class ForeignElements {
  readonly #options: ForeignOptions;

  constructor(options: ForeignOptions) {
    this.#options = options;
  }

  /** Pinned again with another count, the count changes. */
  async pin(approved: Approved<'anchor.pin'>): Promise<ForeignAnchor | AnchorRefusal> {
    const { store, crypto, clock } = this.#options;
    const decision = approved.request;
    const { product, certificate, count } = decision;
    const fault = faultOfAnchor(certificate);
    if (fault !== undefined) return fault;
    const sha256 = crypto.hash('SHA-256', certificate);
    const present = (await store.anchors()).find(isAnchor(product, sha256));
    if (present !== undefined && count < present.taken) {
      return refuse('count-too-low', `${present.taken} devices are bound already`);
    }
    const pinnedMs = clock.nowMs();
    const members = { product, certificateSha256: sha256, count, atMs: pinnedMs };
    const entry = encodeAuditEntry({ kind: 'foreign-anchor', ...members });
    const outcome = await store.pin({ ...decision, sha256, pinnedMs }, entry, approved.spending);
    if (outcome !== 'pinned') return refuseApproval(outcome);
    const taken = present?.taken ?? 0;
    return { ...decision, sha256, pinnedMs, taken, retiredMs: undefined };
  }

  /** Devices that are bound stay what they are; revoking them is another decision. */
  async retire(approved: Approved<'anchor.retire'>): Promise<undefined | AnchorRefusal> {
    const { product, sha256 } = approved.request;
    const atMs = this.#options.clock.nowMs();
    const members = { product, certificateSha256: sha256, count: 0, atMs };
    const entry = encodeAuditEntry({ kind: 'foreign-anchor', ...members });
    const retirement = { product, sha256, atMs, entry };
    const outcome = await this.#options.store.retire(retirement, approved.spending);
    if (outcome === 'retired') return undefined;
    return outcome === 'unknown'
      ? refuse('unknown', `no such authority is pinned for ${product}`)
      : refuseApproval(outcome);
  }

  anchors(): Promise<readonly ForeignAnchor[]> {
    return this.#options.store.anchors();
  }

  /** Of a device that is bound. */
  async productOf(deviceId: string): Promise<string | undefined> {
    return (await this.#options.store.device(deviceId))?.product;
  }

  /** Whether the certificate shown makes the device what the request says; binds it the first time. */
  async refusalOf(request: LdevidRequest): Promise<Refusal<'rejected'> | undefined> {
    const { store, crypto, clock, verifier } = this.#options;
    const { deviceId, product } = request;
    // Of after a backup that was put back the log knows the hash alone, until a person pins it again.
    const anchors = (await store.anchors()).filter(
      (anchor) => anchor.product === product && anchor.certificate.length > 0,
    );
    if (anchors.length === 0) {
      return refuse('rejected', `No authority of another maker is pinned for product ${product}.`);
    }
    const chain = parseChain([request.authenticatedBy, ...request.issuers]);
    const [leaf] = chain ?? [];
    if (chain === undefined || leaf === undefined) {
      return refuse('rejected', 'A certificate that was shown cannot be read.');
    }
    const path = verifyPath(chain, rulesOf(anchors), verifier, clock.nowMs());
    if (isRefusal(path)) {
      return refuse('rejected', `The certificate shown is not believed: ${path.reason}.`);
    }
    const refusal = await this.#refusalOfDevice(deviceId);
    if (refusal !== undefined) return refusal;
    const boundMs = clock.nowMs();
    const certificateSha256 = crypto.hash('SHA-256', leaf.der);
    const keyIdentifier = identifierOfKey(crypto, leaf.publicKey.spki);
    const anchorSha256 = crypto.hash('SHA-256', path.anchor.certificate.der);
    const entry = encodeAuditEntry({
      kind: 'foreign-device',
      atMs: boundMs,
      deviceId,
      certificateSha256,
      anchorSha256,
    });
    const device = { deviceId, product, certificateSha256, keyIdentifier, boundMs };
    // A crash behind this line leaves a device that is bound and has no certificate yet: it asks again.
    return refusalOfBinding(await store.bind(device, anchorSha256, entry));
  }

  /** Also for renewals, when the certificate shown is one of ours. */
  refusalOfRevoked(deviceId: string): Promise<Refusal<'rejected'> | undefined> {
    return this.#refusalOfDevice(deviceId);
  }

  /** The device whose birth key this is. */
  holderOfKey(spki: Uint8Array): Promise<string | undefined> {
    const { store, crypto } = this.#options;
    return store.deviceOfKey(identifierOfKey(crypto, spki));
  }

  /** Bound to its birth certificate; `undefined` for every other one. */
  device(deviceId: string): Promise<ForeignDevice | undefined> {
    return this.#options.store.device(deviceId);
  }

  deviceOfCertificate(sha256: Uint8Array): Promise<string | undefined> {
    return this.#options.store.deviceOfCertificate(sha256);
  }

  /** False for a device that is none of these. */
  revoke(deviceId: string, reason: string, atMs: number): Promise<boolean> {
    const entry = encodeAuditEntry({ kind: 'foreign-revoked', atMs, deviceId, reason });
    return this.#options.store.revoke(deviceId, atMs, entry);
  }

  async #refusalOfDevice(deviceId: string): Promise<Refusal<'rejected'> | undefined> {
    const device = await this.#options.store.device(deviceId);
    return device?.revokedMs === undefined
      ? undefined
      : refuse('rejected', 'The identity from birth is revoked.');
  }
}

function refusalOfBinding(outcome: BindingOutcome): Refusal<'rejected'> | undefined {
  switch (outcome) {
    case 'bound':
    case 'known':
      return undefined;
    case 'no-anchor':
      return refuse('rejected', 'The authority of the certificate was retired for this product.');
    case 'quota-exhausted':
      return refuse('rejected', 'Every device that its authority was pinned for is bound.');
    case 'taken':
      return refuse('rejected', 'The device, the certificate or its key is bound otherwise.');
  }
}

function rulesOf(anchors: readonly ForeignAnchor[]): Parameters<typeof verifyPath>[1] {
  return {
    anchors: anchors.map(({ certificate }) => ({
      certificate: parseCertificate(certificate),
      kinds: ['idevid'],
    })),
    intermediates: [],
  };
}

function isAnchor(product: string, sha256: Uint8Array): (anchor: ForeignAnchor) => boolean {
  return (anchor) => anchor.product === product && equal(anchor.sha256, sha256);
}

function faultOfAnchor(certificate: Uint8Array): AnchorRefusal | undefined {
  try {
    const { extensions } = parseCertificate(certificate);
    const constraints = findExtension(extensions, extensionOids.basicConstraints);
    const ca = constraints !== undefined && decodeBasicConstraints(constraints.value).ca;
    return ca ? undefined : refuse('not-an-authority', 'the certificate is no authority’s');
  } catch (error) {
    if (error instanceof MalformedError) return refuse('malformed', error.message);
    throw error;
  }
}

function parseChain(chain: readonly Uint8Array[]): readonly Certificate[] | undefined {
  try {
    return chain.map(parseCertificate);
  } catch (error) {
    if (error instanceof MalformedError) return undefined;
    throw error;
  }
}
