/**
 * The key of the next root, made years before it is used (RFC 8649): the present root names its hash, and
 * it rests in the folder of keys under the name that the next root will have. Whoever loses it loses the
 * commitment; whoever backs up the keys has it.
 */
import { nodeCrypto } from '../../drivers/keys/software/nodeCrypto.ts';
import { EnvironmentError } from '../../trust/ports/faults.ts';
import type { Signer } from '../../trust/ports/keys.ts';
import { equal } from '../../wire/bytes/bytes.ts';
import { parseCertificate } from '../../wire/x509/certificate.ts';
import { findExtension } from '../../wire/x509/extensions.ts';
import { committedSha256, hashOfRootKeyOid } from '../../wire/x509/hashOfRootKey.ts';
import type { AuthorityKeys } from './authorityKeys.ts';
import { type AuthorityRecord, nextName } from './book.ts';

/** Makes the key of the root behind all in the book, in a file, when it is not there; SHA-256 of its SubjectPublicKeyInfo. */
export async function commitToNext(
  keys: AuthorityKeys,
  book: readonly AuthorityRecord[],
  algorithm: AuthorityRecord['algorithm'],
): Promise<Uint8Array> {
  const name = nextName(book, 'root');
  const { publicKeySpki } = await keys.make({ name, role: 'root', algorithm, state: 'announced' });
  return nodeCrypto.hash('SHA-256', publicKeySpki);
}

/**
 * Whether the present root has committed to a key at all. Rejects with an `EnvironmentError` when it was to
 * another one: devices that wait for that one would take this root for an attack.
 */
export function requireCommitted(present: Uint8Array, name: string, next: Signer): boolean {
  const found = findExtension(parseCertificate(present).extensions, hashOfRootKeyOid);
  if (found === undefined) return false;
  const committed = committedSha256(found.value);
  if (committed !== undefined && equal(committed, nodeCrypto.hash('SHA-256', next.publicKeySpki))) {
    return true;
  }
  throw new EnvironmentError(`the present root has committed to another key than that of ${name}`, {
    retryable: false,
  });
}
