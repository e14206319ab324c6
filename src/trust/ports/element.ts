/**
 * What personalization needs of a secure element, whatever its family, and of the machine that feeds
 * elements to a station. Keys are made inside and never leave: slots are named, results are public
 * values, signatures, or opaque secrets.
 *
 * `device/ports/element.ts` is the same element as its device sees it; one driver satisfies both.
 */
import type { Secret } from '../../wire/crypto/crypto.ts';

/** P-256 key pairs: `sign` for signatures alone, `agree` for static Diffie-Hellman alone. */
export type KeySlot = 'sign' | 'agree';

/** Each holds one certificate with the chain that its holder shows, leaf first. */
export type CertificateSlot = 'idevid' | 'ldevid' | 'ldevid-next';

/** `state` belongs to the device; the others are written at birth and frozen by the lock. */
export type DataSlot = 'anchors' | 'server-identity' | 'eui64' | 'device-id' | 'state';

export const keySlots: readonly KeySlot[] = ['sign', 'agree'];
export const certificateSlots: readonly CertificateSlot[] = ['idevid', 'ldevid', 'ldevid-next'];
export const dataSlots: readonly DataSlot[] = [
  'anchors',
  'server-identity',
  'eui64',
  'device-id',
  'state',
];

/**
 * `blank`: nothing was ever made or written. `personalized`: something was, and birth slots may still
 * change. `locked`: keys and birth slots are permanent; there is no way back.
 */
export type ElementLifecycle = 'blank' | 'personalized' | 'locked';

export interface ElementIdentity {
  /** Names the driver and the rules of this kind of element: `software`, `atecc608`, ... */
  readonly family: string;
  /** Unique within the family; 1 to 64 bytes, from the chip itself. */
  readonly uid: Uint8Array;
  readonly model: string;
  readonly firmware: string;
}

/** Values to write in one go; what is not named stays. */
export interface ElementContents {
  /** DER certificates, leaf first. */
  readonly certificates?: Readonly<Partial<Record<CertificateSlot, readonly Uint8Array[]>>>;
  readonly data?: Readonly<Partial<Record<DataSlot, Uint8Array>>>;
}

/**
 * One operation at a time: a caller awaits each result before the next call. Every method rejects with
 * an `ElementError`.
 */
export interface Element {
  readonly identity: ElementIdentity;

  lifecycle(): Promise<ElementLifecycle>;

  random(lengthBytes: number): Promise<Uint8Array>;

  /** Makes a key pair inside, in place of an earlier one of that slot. Uncompressed point, 65 bytes. */
  generateKey(slot: KeySlot): Promise<Uint8Array>;

  /** Uncompressed point, 65 bytes; `undefined` while the slot is empty. */
  publicKey(slot: KeySlot): Promise<Uint8Array | undefined>;

  /** ECDSA with SHA-256 over the data itself; DER of ECDSA-Sig-Value. */
  sign(slot: 'sign', data: Uint8Array): Promise<Uint8Array>;

  /**
   * The x-coordinate of the shared point. `peerPublicKey` is x alone, compressed or uncompressed;
   * `undefined` when it is not a point of the curve.
   */
  agree(slot: 'agree', peerPublicKey: Uint8Array): Promise<Secret | undefined>;

  /**
   * Families that write slot by slot may leave a part of the values written when power goes: whoever
   * relies on them reads them back.
   */
  write(contents: ElementContents): Promise<void>;

  /** Leaf first; `undefined` while the slot is empty. */
  readCertificate(slot: CertificateSlot): Promise<readonly Uint8Array[] | undefined>;

  /** `undefined` while the slot is empty. */
  readData(slot: DataSlot): Promise<Uint8Array | undefined>;

  /** Irreversible. Locking a locked element changes nothing. */
  lock(): Promise<void>;
}

/**
 * - `unreachable`: it did not answer, or its storage failed; whether the operation took effect is
 *   unknown, and the same call may succeed later.
 * - `locked`: its life cycle forbids the operation.
 * - `empty`: the slot holds no key.
 * - `too-large`: the value does not fit the slot.
 * - `not-offered`: the family has no such slot or operation.
 * - `damaged`: what it holds is inconsistent or was altered; it will not get better.
 */
export type ElementErrorCode =
  | 'unreachable'
  | 'locked'
  | 'empty'
  | 'too-large'
  | 'not-offered'
  | 'damaged';

export class ElementError extends Error {
  readonly code: ElementErrorCode;

  constructor(code: ElementErrorCode, message: string, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.name = 'ElementError';
    this.code = code;
  }
}

/** Where a finished element goes. `held` ones stay in the machine for a later run. */
export type ElementBin = 'finished' | 'scrapped' | 'held';

/** The machine that puts elements in front of the station one after the other: handler, reel, tray. */
export interface ElementSocket {
  readonly family: string;

  /**
   * The next element; `undefined` when there are no more. After a restart every element that was not
   * binned is presented again, in any order. Rejects with an `ElementError` when an element is there
   * but cannot be contacted: the caller decides whether to stop, and may call again for the next one.
   */
  next(): Promise<Element | undefined>;

  bin(element: Element, bin: ElementBin): Promise<void>;
}
