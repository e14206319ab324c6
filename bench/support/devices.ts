/** Devices as a manifest brings them, with keys that nobody has. */
import { randomBytes } from 'node:crypto';
import type { ImportedDevice } from '../../src/trust/ports/registryStore.ts';

export function benchDevice(deviceId: string): ImportedDevice {
  const agreeKey = random(65);
  agreeKey[0] = 4;
  return {
    identity: {
      deviceId,
      family: 'software',
      uid: random(9),
      eui64: random(8),
      product: 'thermometer',
      owner: 'owner',
      signKeySpki: random(91),
      agreeKey,
      kid: Uint8Array.of((agreeKey[1] ?? 0) % 24),
      proofLevel: 'line-anchored',
    },
    state: 'released',
    certificates: [{ kind: 'idevid', sha256: random(32), notAfterMs: undefined }],
  };
}

function random(length: number): Uint8Array {
  return new Uint8Array(randomBytes(length));
}
