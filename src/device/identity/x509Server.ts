/** The server's certificate where the device reads X.509: in DER, in C509 of either type, beside anchors in DER. */
import { parseEitherCertificate } from '../../wire/c509/either.ts';
import type { PointDecompressor } from '../../wire/c509/publicKey.ts';
import * as cbor from '../../wire/cbor/writer.ts';
import type { Crypto } from '../../wire/crypto/crypto.ts';
import type { CredentialReference } from '../../wire/edhoc/idCred.ts';
import { parseCertificate } from '../../wire/x509/certificate.ts';
import { decodeKeyUsage, extensionOids, findExtension } from '../../wire/x509/extensions.ts';
import type { Certificate } from '../../wire/x509/model.ts';
import { decodeServerGeneration } from '../../wire/x509/serverGeneration.ts';
import { p256Point } from '../../wire/x509/spki.ts';
import {
  judgePath,
  type JudgedServer,
  longestChain,
  type PathCertificate,
  type ServerKeyUse,
  type ServerPath,
} from './serverCertificate.ts';
import { authorityDepth, isAuthority, isIssuedBy } from './signatures.ts';

export interface ServerRules {
  readonly crypto: Crypto;
  readonly decompress: PointDecompressor;
  /** DER, of the element. */
  readonly anchors: readonly Uint8Array[];
  /** Of the extension ServerGeneration. */
  readonly generationOid: string;
  readonly keyUse: ServerKeyUse;
}

/** `reference`: x5chain or c5c. */
export function judgeServer(reference: CredentialReference, rules: ServerRules): JudgedServer {
  if (reference.kind !== 'x5chain' && reference.kind !== 'c5c') return { fault: 'malformed' };
  const isC509 = reference.kind === 'c5c';
  return judgePath(rules.crypto, rules.keyUse, () =>
    readPath(reference.certificates, isC509, rules),
  );
}

function readPath(
  encodings: readonly Uint8Array[],
  isC509: boolean,
  rules: ServerRules,
): ServerPath<Certificate> {
  const { crypto, decompress, anchors } = rules;
  const read = encodings
    .slice(0, longestChain)
    .map((encoding) => parseEitherCertificate(encoding, decompress));
  const [encoding = new Uint8Array(0)] = encodings;
  // The credential of a c5c is C509, that of an x5chain DER: another form would be another CRED_R.
  const isOtherForm = read[0] === undefined || (read[0].form === 'der') === isC509;
  const trusted = anchors.map((anchor) => parseCertificate(anchor)).filter(isAuthority);
  return {
    chain: isOtherForm ? [] : read.map(({ certificate }) => pathCertificate(certificate, rules)),
    anchors: trusted.map((issuer) => ({ issuer, key: keyOf(crypto, issuer) })),
    cred: isC509 ? new Uint8Array(encoding) : cbor.bytes(encoding),
  };
}

/** Extensions that the rule looks at, beside the generation. */
const processed: readonly string[] = [extensionOids.keyUsage, extensionOids.basicConstraints];

function pathCertificate(
  certificate: Certificate,
  { crypto, generationOid }: ServerRules,
): PathCertificate<Certificate> {
  const { extensions } = certificate;
  const known = [...processed, generationOid];
  return {
    authorityDepth: authorityDepth(certificate),
    asIssuer: certificate,
    get publicKey() {
      return crypto.importPublicKey('P-256', p256Point(certificate.publicKey.spki));
    },
    notAfterMs: certificate.notAfterMs,
    isIssuedBy: (issuer) => isIssuedBy(crypto, certificate, issuer),
    allows: (use) => {
      const usage = findExtension(extensions, extensionOids.keyUsage);
      return usage !== undefined && decodeKeyUsage(usage.value).has(use);
    },
    hasUnknownCritical: () =>
      extensions.some(({ critical, oid }) => critical && !known.includes(oid)),
    generation: () => {
      const stated = findExtension(extensions, generationOid);
      return stated && decodeServerGeneration(stated.value);
    },
  };
}

/** The x-coordinate, which is the same for one key however its anchor is held. */
function keyOf(crypto: Crypto, { publicKey }: Certificate): Uint8Array {
  return crypto.importPublicKey('P-256', publicKey.key)?.bytes ?? publicKey.spki;
}
