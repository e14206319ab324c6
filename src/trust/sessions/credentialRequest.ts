/** A session server's request for its own credential, with the proof that its key can give. */
import {
  encodePossessionProof,
  possessionAlgorithms,
  possessionKeyOf,
  possessionMac,
} from '../../wire/c509/possession.ts';
import { prepareNativeRequest } from '../../wire/c509/request.ts';
import type { Crypto } from '../../wire/crypto/crypto.ts';
import { signatureAlgorithmOids } from '../../wire/x509/algorithms.ts';
import type { Name } from '../../wire/x509/model.ts';
import { encodeName, parseName } from '../../wire/x509/names.ts';
import { p256Spki, parseSpki } from '../../wire/x509/spki.ts';
import { EnvironmentError, type Refusal } from '../ports/faults.ts';
import type { KeyAgreement, Signer } from '../ports/keys.ts';
import type {
  SessionServerAuthority,
  SessionServerCredential,
} from '../ports/sessionServerAuthority.ts';

export interface CredentialRequest {
  readonly crypto: Crypto;
  readonly authority: SessionServerAuthority;
  /** Subject of the authority that issues it. */
  readonly issuerName: Name;
  /** Whose generations are counted. */
  readonly name: string;
  readonly form: 'native' | 'der';
}

/** Rejects with an `EnvironmentError` when the authority or the key cannot be reached. */
export async function requestCredential(
  request: CredentialRequest,
  key: KeyAgreement | Signer,
): Promise<SessionServerCredential | Refusal<string>> {
  const { authority, name, form } = request;
  const subject = parseName(encodeName(['commonName', name]));
  if ('sign' in key) {
    const unsigned = prepareNativeRequest({
      signatureAlgorithm: { oid: signatureAlgorithmOids['ecdsa-with-SHA256'] },
      subject,
      publicKey: parseSpki(key.publicKeySpki),
    });
    const signed = unsigned.finish(await key.sign(unsigned.toBeSigned));
    return authority.issueSessionServer({ name, form, request: signed });
  }
  const unproven = prepareNativeRequest({
    signatureAlgorithm: possessionAlgorithms['SHA-256'],
    subject,
    publicKey: parseSpki(p256Spki(key.publicKey)),
  });
  const challenge = await authority.openProof();
  const mac = await proofOf(request, key, challenge, unproven.toBeSigned);
  const proven = unproven.finish(encodePossessionProof({ mac }));
  return authority.issueSessionServer({ name, form, request: proven, challenge });
}

async function proofOf(
  { crypto, issuerName }: CredentialRequest,
  key: KeyAgreement,
  challenge: Uint8Array,
  toBeSigned: Uint8Array,
): Promise<Uint8Array> {
  const secret = await key.agree(challenge);
  if (secret === undefined) {
    throw new EnvironmentError('the authority sent no point of the curve', { retryable: false });
  }
  const names = { verifierSubject: issuerName, verifierIssuer: issuerName };
  const proofKey = possessionKeyOf(crypto, secret);
  return possessionMac(crypto, proofKey, { hash: 'SHA-256', ...names, toBeSigned });
}
