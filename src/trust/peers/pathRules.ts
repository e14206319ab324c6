/**
 * What every certificate of a path has to satisfy (RFC 5280 §6.1.3 to §6.1.5), from the anchor down to
 * the peer's own. Signatures and names of issuers were matched when the path was built; dates are a
 * finding of their own, looked at last. Policies are not processed: their critical extensions are refused.
 */
import type { CertificateKind } from '../ports/registryStore.ts';
import { type Refusal, refuse } from '../ports/faults.ts';
import { keyPurposes, type NameConstraints } from '../../wire/x509/extensions.ts';
import type { Certificate } from '../../wire/x509/model.ts';
import { sameName } from '../../wire/x509/names.ts';
import { type KnownExtensions, knownExtensions } from './knownExtensions.ts';
import { excludedName } from './nameConstraints.ts';

export type RuleRefusal =
  | 'not-an-authority'
  | 'authority-as-peer'
  | 'path-too-long'
  | 'name-excluded'
  | 'wrong-purpose'
  | 'unknown-critical-extension';

/** A signature, or static Diffie-Hellman in EDHOC: a key is certified for one of the two. */
export type KeyUse = 'signature' | 'agreement';

/**
 * Checks a path, anchor first, for a peer that is to be one of `kinds`. The anchor's own extensions bind
 * what is below it (RFC 5937 §3). `undefined` when all rules hold.
 */
export function breachOfPath(
  path: readonly Certificate[],
  kinds: readonly CertificateKind[],
  keyUse?: KeyUse,
): Refusal<RuleRefusal> | undefined {
  const above: Authorities = { further: Number.POSITIVE_INFINITY, constraints: [], purposes: [] };
  const authorities = path.slice(0, -1);
  for (const [index, certificate] of authorities.entries()) {
    const breach = takeAuthority(certificate, above, index === 0);
    if (breach !== undefined) return breach;
  }
  const [peer] = path.slice(-1);
  return peer === undefined ? undefined : breachOfPeer(peer, above, kinds, keyUse);
}

/** Whether the certificate may be used as one of this kind, by its keyUsage and extKeyUsage. */
export function servesAs(
  extensions: KnownExtensions,
  kind: CertificateKind,
  keyUse: KeyUse = 'signature',
): boolean {
  const { keyUsage, extKeyUsage } = extensions;
  // RFC 8446 §4.4.2.2: a key that signs handshakes.
  const needed = keyUse === 'signature' ? 'digitalSignature' : 'keyAgreement';
  // Without the extension RFC 5280 allows every use; a key that signs must not agree all the same.
  if (keyUsage === undefined ? keyUse === 'agreement' : !keyUsage.has(needed)) return false;
  // IEEE 802.1AR leaves the purposes of an IDevID open; every other kind names its own. A purpose `any`
  // does not count: it would make a device a server.
  if (extKeyUsage === undefined) return kind === 'idevid';
  return extKeyUsage.includes(purposeOf(kind));
}

function purposeOf(kind: CertificateKind): string {
  return kind === 'server' ? keyPurposes.serverAuth : keyPurposes.clientAuth;
}

/** What the authorities so far leave to those below them. */
interface Authorities {
  /** CA certificates that may follow. */
  further: number;
  readonly constraints: NameConstraints[];
  /** Of each authority that restricts what it certifies for. */
  readonly purposes: Array<readonly string[]>;
}

function takeAuthority(
  certificate: Certificate,
  above: Authorities,
  isAnchor: boolean,
): Refusal<RuleRefusal> | undefined {
  const extensions = knownExtensions(certificate);
  const { basicConstraints, keyUsage } = extensions;
  const [unknown] = extensions.unknownCritical;
  if (unknown !== undefined) return refuseExtension(unknown);
  // RFC 5280 §6.1.4 (k) and (n).
  if (basicConstraints?.ca !== true) return refuse('not-an-authority', 'an issuer is no CA');
  if (keyUsage !== undefined && !keyUsage.has('keyCertSign')) {
    return refuse('not-an-authority', 'an issuer may not sign certificates');
  }
  // §6.1.3 (b), (c) and §6.1.4 (l): certificates that an authority issues to itself count for neither.
  const selfIssued = sameName(certificate.subject, certificate.issuer);
  if (!isAnchor && !selfIssued) {
    const kind = excludedName(certificate, extensions.subjectAltName, above.constraints);
    if (kind !== undefined) return refuseName(kind);
    if (above.further <= 0) return refuse('path-too-long', 'more issuers than one above allows');
    above.further -= 1;
  }
  above.further = Math.min(above.further, basicConstraints.pathLength ?? above.further);
  if (extensions.nameConstraints !== undefined) above.constraints.push(extensions.nameConstraints);
  if (extensions.extKeyUsage !== undefined) above.purposes.push(extensions.extKeyUsage);
  return undefined;
}

function breachOfPeer(
  peer: Certificate,
  above: Authorities,
  kinds: readonly CertificateKind[],
  keyUse: KeyUse | undefined,
): Refusal<RuleRefusal> | undefined {
  const extensions = knownExtensions(peer);
  const [unknown] = extensions.unknownCritical;
  if (unknown !== undefined) return refuseExtension(unknown);
  if (
    extensions.basicConstraints?.ca === true ||
    extensions.keyUsage?.has('keyCertSign') === true
  ) {
    return refuse('authority-as-peer', 'a certificate of an authority is no peer');
  }
  const name = excludedName(peer, extensions.subjectAltName, above.constraints);
  if (name !== undefined) return refuseName(name);
  // RFC 5280 §4.2.1.12 speaks of end entities only; that purposes of an authority bind what is below it
  // is what everybody else implements, and the narrower reading.
  const serves = kinds.some(
    (kind) =>
      servesAs(extensions, kind, keyUse) &&
      above.purposes.every((purposes) => purposes.includes(purposeOf(kind))),
  );
  return serves ? undefined : refuse('wrong-purpose', 'the certificate is not for this use');
}

function refuseExtension(oid: string): Refusal<RuleRefusal> {
  return refuse('unknown-critical-extension', `critical extension ${oid} is not known here`);
}

function refuseName(kind: string): Refusal<RuleRefusal> {
  return refuse('name-excluded', `a ${kind} is not one that its issuer may certify`);
}
