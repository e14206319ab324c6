/**
 * The secure element as its device sees it: finished and locked at birth, long before the device
 * existed. Keys never leave it; `trust/ports/element.ts` is the same element on the personalization
 * line, and one driver satisfies both.
 */
import type { Secret } from '../../wire/crypto/crypto.ts';

/** P-256 key pairs: `sign` for signatures alone, `agree` for static Diffie-Hellman alone. */
export type KeySlot = 'sign' | 'agree';

/** Each holds one certificate with the chain that its holder shows, leaf first. */
export type CertificateSlot = 'idevid' | 'ldevid' | 'ldevid-next';

/**
 * What the factory wrote: trust anchors (a CBOR array of DER certificates), the credential of the
 * server that answers the first EDHOC handshake, the EUI-64 (8 bytes), the deviceId (UTF-8, 16
 * characters). `state` is the device's own.
 */
export type DataSlot = 'anchors' | 'server-identity' | 'eui64' | 'device-id' | 'state';

export type ElementLifecycle = 'blank' | 'personalized' | 'locked';

export interface ElementIdentity {
  readonly family: string;
  readonly uid: Uint8Array;
  readonly model: string;
  readonly firmware: string;
}

/** What a device may still write; birth slots and keys are frozen. */
export interface WritableContents {
  /** DER certificates, leaf first; an empty list clears the slot. */
  readonly certificates?: Readonly<
    Partial<Record<'ldevid' | 'ldevid-next', readonly Uint8Array[]>>
  >;
  readonly data?: Readonly<Partial<Record<'state', Uint8Array>>>;
}

/**
 * One operation at a time: a caller awaits each result before the next call. Every method may reject;
 * `elementErrorCode` tells why.
 */
export interface DeviceElement {
  readonly identity: ElementIdentity;

  lifecycle(): Promise<ElementLifecycle>;

  random(lengthBytes: number): Promise<Uint8Array>;

  /** Uncompressed point, 65 bytes; `undefined` when the slot is empty. */
  publicKey(slot: KeySlot): Promise<Uint8Array | undefined>;

  /** ECDSA with SHA-256 over the data itself; DER of ECDSA-Sig-Value. */
  sign(slot: 'sign', data: Uint8Array): Promise<Uint8Array>;

  /**
   * The x-coordinate of the shared point, opaque. `peerPublicKey` is x alone (as EDHOC sends it),
   * compressed or uncompressed; `undefined` when it is not a point of the curve.
   */
  agree(slot: 'agree', peerPublicKey: Uint8Array): Promise<Secret | undefined>;

  /**
   * Durable when the promise resolves, and all of the values or none of them after a power loss, as
   * far as the family can: the software element always can.
   */
  write(contents: WritableContents): Promise<void>;

  /** Leaf first; `undefined` while the slot is empty. */
  readCertificate(slot: CertificateSlot): Promise<readonly Uint8Array[] | undefined>;

  /** `undefined` while the slot is empty. */
  readData(slot: DataSlot): Promise<Uint8Array | undefined>;

  /** Absent where the family has no slots for keys that are made later. */
  readonly operational?: OperationalKeys;
}

/** `present`: that of the LDevID, once it is not the key of birth any more. `next`: that is to follow it. */
export type OperationalKey = 'present' | 'next';

/**
 * Keys of operational certificates, made by the device itself after the lock, beside those of birth: the new
 * one stands beside the old one until it has been tried. P-256, for signatures alone.
 */
export interface OperationalKeys {
  /** Uncompressed point, 65 bytes; `undefined` while there is none. */
  publicKey(which: OperationalKey): Promise<Uint8Array | undefined>;

  /** A new pair in `next`, in the place of one that was there; `ldevid-next` is cleared with it. The point. */
  generateNext(): Promise<Uint8Array>;

  /** ECDSA with SHA-256 over the data itself; DER of ECDSA-Sig-Value. */
  sign(which: OperationalKey, data: Uint8Array): Promise<Uint8Array>;

  /**
   * `next` becomes `present` and `ldevid-next` becomes `ldevid`, all of it or nothing after a power loss; the
   * key before is gone. Rejects when either is not there.
   */
  promote(): Promise<void>;

  /** `next` and `ldevid-next` are gone, both or neither. */
  discardNext(): Promise<void>;
}

/** `unreachable` may succeed when called again, unchanged; the others will not. */
export type ElementErrorCode =
  | 'unreachable'
  | 'locked'
  | 'empty'
  | 'too-large'
  | 'not-offered'
  | 'damaged';

/** The code of an element's error, told by its shape: drivers share no class with this ring. */
export function elementErrorCode(error: unknown): ElementErrorCode | undefined {
  if (!(error instanceof Error) || error.name !== 'ElementError' || !('code' in error)) {
    return undefined;
  }
  return elementErrorCodes.find((code) => code === error.code);
}

const elementErrorCodes: readonly ElementErrorCode[] = [
  'unreachable',
  'locked',
  'empty',
  'too-large',
  'not-offered',
  'damaged',
];
