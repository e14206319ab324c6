/** What an imported device must look like before the store is asked about it. */
import type { Crypto } from '../../wire/crypto/crypto.ts';
import type { ImportedDevice } from '../ports/registryStore.ts';

/**
 * Devices in one import, which is one transaction that nothing else gets in between. A larger batch is
 * imported in parts.
 */
export const maximumImport = 20_000;

/** Crockford base32 in lower case: no i, l, o, u. 16 characters are 80 bits. */
const deviceIdPattern = /^[0-9a-hjkmnp-tv-z]{16}$/;
const namePattern = /^[\x20-\x7e]{1,64}$/;

export function isDeviceId(text: string): boolean {
  return deviceIdPattern.test(text);
}

/** 80 random bits, in the alphabet above. */
export function newDeviceId(crypto: Crypto): string {
  const alphabet = '0123456789abcdefghjkmnpqrstvwxyz';
  // 256 is a multiple of 32, so that five bits of a random byte are as good as any other five.
  return Array.from(crypto.random(16), (byte) => alphabet.charAt(byte & 31)).join('');
}

/** Of a product, owner, station, application, ... */
export function isName(text: string): boolean {
  return namePattern.test(text);
}

/** The first rule that the entry breaks, in words; `undefined` when it keeps all. */
export function faultOfImport({ identity, certificates }: ImportedDevice): string | undefined {
  if (!isDeviceId(identity.deviceId)) return 'deviceId is not 16 characters of base32';
  for (const name of ['family', 'product', 'owner'] as const) {
    if (!isName(identity[name])) return `${name} is not 1 to 64 printable characters`;
  }
  if (!within(identity.uid, 1, 64)) return 'uid is not 1 to 64 bytes';
  if (identity.eui64 !== undefined && identity.eui64.length !== 8) return 'eui64 is not 8 bytes';
  if (!within(identity.signKeySpki, 32, 4096)) return 'signKeySpki is not 32 to 4096 bytes';
  const { agreeKey, kid } = identity;
  if (agreeKey !== undefined && (agreeKey.length !== 65 || agreeKey[0] !== 4)) {
    return 'agreeKey is not an uncompressed P-256 point';
  }
  if (kid !== undefined && !within(kid, 1, 32)) return 'kid is not 1 to 32 bytes';
  if ((agreeKey === undefined) !== (kid === undefined)) return 'agreeKey and kid go together';
  for (const { kind, sha256 } of certificates) {
    if (kind !== 'idevid' && kind !== 'ldevid') return `a device has no ${kind} certificate`;
    if (sha256.length !== 32) return 'the SHA-256 of a certificate is not 32 bytes';
  }
  return undefined;
}

function within(bytes: Uint8Array, least: number, most: number): boolean {
  return bytes.length >= least && bytes.length <= most;
}
