/**
 * Which key belongs to which certificate of the element: that of birth to the IDevID and, as long as the
 * device has made none of its own, to the LDevID.
 */
import type { CertificateSlot, DeviceElement, OperationalKey } from '../ports/element.ts';
import { DeviceFault } from '../ports/faults.ts';

export interface SigningKey {
  /** Uncompressed point, 65 bytes. */
  readonly point: Uint8Array;
  /** ECDSA with SHA-256 over the data itself; DER of ECDSA-Sig-Value. */
  readonly sign: (data: Uint8Array) => Promise<Uint8Array>;
}

/** Rejects with a `DeviceFault` when there is no such key. */
export async function signingKeyOf(
  element: DeviceElement,
  slot: CertificateSlot,
): Promise<SigningKey> {
  if (slot === 'ldevid-next') return required(await operationalKey(element, 'next'));
  const own = slot === 'ldevid' ? await operationalKey(element, 'present') : undefined;
  return own ?? birthKey(element);
}

export async function birthKey(element: DeviceElement): Promise<SigningKey> {
  const point = await element.publicKey('sign');
  return required(point && { point, sign: (data) => element.sign('sign', data) });
}

/** `undefined` while there is none. */
export async function operationalKey(
  { operational }: DeviceElement,
  which: OperationalKey,
): Promise<SigningKey | undefined> {
  const point = await operational?.publicKey(which);
  if (operational === undefined || point === undefined) return undefined;
  return { point, sign: (data) => operational.sign(which, data) };
}

function required(key: SigningKey | undefined): SigningKey {
  if (key !== undefined) return key;
  throw new DeviceFault('the element has no key for that certificate', { retryable: false });
}
