/**
 * Seals what a device stores under a key that only its element can compute: an agreement between the
 * element's key and a point whose private half was thrown away when the store began. The point stands in
 * the store; without the element it is of no use.
 *
 * Values cannot be read, altered or exchanged. That somebody puts an older copy of the whole store back is
 * not noticed: a family with a monotonic counter would be needed for that.
 */
import { concat } from '../../wire/bytes/bytes.ts';
import { utf8 } from '../../wire/bytes/utf8.ts';
import { type AeadKey, aeadParameters, type Crypto } from '../../wire/crypto/crypto.ts';
import type { DeviceElement } from '../ports/element.ts';
import { DeviceFault } from '../ports/faults.ts';
import { type DeviceStore, maximumValueBytes } from '../ports/deviceStore.ts';

const algorithm = 'A256GCM';
const { keyBytes, nonceBytes, tagBytes } = aeadParameters[algorithm];
const pointName = 'storage-point';
const keyInfo = utf8('birthmark device store');

/** Largest value that fits into the store below. */
export const maximumSealedValueBytes: number = maximumValueBytes - nonceBytes - tagBytes;

/**
 * Opens the store of the device that holds this element, or begins it. Rejects with a `DeviceFault` when
 * it belongs to another element, and with what the element and the store reject with.
 */
export async function openSealedStore(
  element: DeviceElement,
  store: DeviceStore,
  crypto: Crypto,
): Promise<DeviceStore> {
  const known = await store.read(pointName);
  const point = known ?? crypto.generateKeyPair('P-256').publicKey;
  const shared = await element.agree('agree', point);
  if (shared === undefined) throw new DeviceFault('the store is damaged', { retryable: false });
  const extracted = crypto.hkdfExtract('SHA-256', concat(point), shared);
  const bytes = crypto.hkdfExpand('SHA-256', extracted, keyInfo, keyBytes);
  const sealed = new SealedStore(store, crypto, crypto.aeadKey(algorithm, bytes));
  bytes.fill(0);
  // Before the first sealed value: a crash in between leaves a point and nothing under it.
  if (known === undefined) await store.commit(new Map([[pointName, point]]));
  return sealed;
}

class SealedStore implements DeviceStore {
  readonly #store: DeviceStore;
  readonly #crypto: Crypto;
  readonly #key: AeadKey;

  constructor(store: DeviceStore, crypto: Crypto, key: AeadKey) {
    this.#store = store;
    this.#crypto = crypto;
    this.#key = key;
  }

  async read(name: string): Promise<Uint8Array | undefined> {
    const stored = await this.#store.read(name);
    if (stored === undefined) return undefined;
    const nonce = stored.subarray(0, nonceBytes);
    const ciphertext = stored.subarray(nonceBytes);
    const value =
      nonce.length === nonceBytes
        ? this.#crypto.open(this.#key, nonce, utf8(name), ciphertext)
        : undefined;
    if (value !== undefined) return value;
    const problem = `${name} was altered, or is another element's`;
    throw new DeviceFault(problem, { retryable: false });
  }

  commit(changes: ReadonlyMap<string, Uint8Array | undefined>): Promise<void> {
    const sealed = new Map<string, Uint8Array | undefined>();
    for (const [name, value] of changes) {
      if (name === pointName) throw new TypeError(`${name} is the store's own`);
      sealed.set(name, value === undefined ? undefined : this.#seal(name, value));
    }
    return this.#store.commit(sealed);
  }

  #seal(name: string, value: Uint8Array): Uint8Array {
    const nonce = this.#crypto.random(nonceBytes);
    return concat(nonce, this.#crypto.seal(this.#key, nonce, utf8(name), value));
  }
}
