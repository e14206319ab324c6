/** Devices that a test can make up by number. */
import { hash } from 'node:crypto';
import type { DeviceIdentity, ImportedDevice } from '../../src/trust/ports/registryStore.ts';

const alphabet = '0123456789abcdefghjkmnpqrstvwxyz';

export function sha256Of(text: string | Uint8Array): Uint8Array {
  return new Uint8Array(hash('sha256', text, 'buffer'));
}

export function deviceIdOf(number: number): string {
  const digest = sha256Of(`device ${number}`);
  return Array.from(digest.subarray(0, 16), (byte) => alphabet.charAt(byte & 31)).join('');
}

/** Keys are random-looking bytes of the right length, not points. */
export function importedDevice(
  number: number,
  changes: Partial<DeviceIdentity> = {},
  state: 'expected' | 'released' = 'released',
): ImportedDevice {
  const bytes = (name: string, length: number): Uint8Array =>
    Uint8Array.from({ length }, (_, i) => sha256Of(`${name} ${number} ${i >> 5}`)[i & 31] ?? 0);
  const agreeKey = bytes('agree', 65);
  agreeKey[0] = 4;
  return {
    identity: {
      deviceId: deviceIdOf(number),
      family: 'software',
      uid: bytes('uid', 9),
      eui64: bytes('eui64', 8),
      product: 'thermo',
      owner: 'owner',
      signKeySpki: bytes('sign', 91),
      agreeKey,
      kid: Uint8Array.of(number % 24),
      proofLevel: 'line-anchored',
      ...changes,
    },
    state,
    certificates: [{ kind: 'idevid', sha256: sha256Of(`idevid ${number}`), notAfterMs: undefined }],
  };
}
