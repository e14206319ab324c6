/** The server known by the credential that the element was born with, and no other. */
import { equal } from '../../wire/bytes/bytes.ts';
import type { Crypto } from '../../wire/crypto/crypto.ts';
import { type AgreeCredential, readServerIdentity } from '../../wire/edhoc/agreeCredential.ts';
import type { CredentialReference } from '../../wire/edhoc/idCred.ts';
import { refuse } from '../../wire/edhoc/refusal.ts';
import type { DeviceElement } from '../ports/element.ts';
import { DeviceFault } from '../ports/faults.ts';
import type { ServerTrust } from './serverTrust.ts';

/** Rejects with a `DeviceFault` when the element was given no server at birth. */
export async function pinnedTrust(element: DeviceElement, crypto: Crypto): Promise<ServerTrust> {
  const credential = await readPinned(element, crypto);
  return {
    request: async () => [],
    judge: async ({ references }) =>
      isPinned(references, credential)
        ? { credential, proven: async () => undefined }
        : refuse('unknown-credential', 'another server'),
    finished: async () => undefined,
  };
}

export async function readPinned(element: DeviceElement, crypto: Crypto): Promise<AgreeCredential> {
  const identity = await element.readData('server-identity');
  if (identity === undefined) {
    throw new DeviceFault('the element has no server identity', { retryable: false });
  }
  return readServerIdentity(crypto, identity);
}

export function isPinned(
  [reference, ...more]: readonly CredentialReference[],
  { kid }: AgreeCredential,
): boolean {
  return reference?.kind === 'kid' && more.length === 0 && equal(reference.kid, kid);
}
