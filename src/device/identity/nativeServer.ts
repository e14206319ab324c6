/**
 * The server's certificate where the device reads no X.509: natively signed C509 in a c5c, beside anchors
 * that are a name and a key.
 */
import { MalformedError } from '../../wire/bytes/malformed.ts';
import {
  findNative,
  type NativeIssuer,
  nativeExtensionIds,
  nativeKeyUsage,
  nativePathLength,
  type NativeView,
  readBareAnchor,
  readNativeView,
} from '../../wire/c509/nativeView.ts';
import type { Crypto, PublicKey } from '../../wire/crypto/crypto.ts';
import type { CredentialReference } from '../../wire/edhoc/idCred.ts';
import { decodeServerGeneration } from '../../wire/x509/serverGeneration.ts';
import { equal } from '../../wire/bytes/bytes.ts';
import {
  judgePath,
  type JudgedServer,
  longestChain,
  type PathCertificate,
  type ServerKeyUse,
} from './serverCertificate.ts';

export interface NativeServerRules {
  readonly crypto: Crypto;
  /** `bareAnchor` of each, of the element. */
  readonly anchors: readonly Uint8Array[];
  /** Content octets of the object identifier of ServerGeneration: `oidContent`. */
  readonly generationId: Uint8Array;
  readonly keyUse: ServerKeyUse;
}

/** `reference`: c5c. The same judgement as `judgeServer`; a certificate of type 3 is none here. */
export function judgeNativeServer(
  reference: CredentialReference,
  rules: NativeServerRules,
): JudgedServer {
  if (reference.kind !== 'c5c') return { fault: 'malformed' };
  const { certificates } = reference;
  const { crypto, anchors, keyUse } = rules;
  return judgePath(crypto, keyUse, () => ({
    chain: certificates
      .slice(0, longestChain)
      .map((encoding) => pathCertificate(readNativeView(encoding), rules)),
    anchors: anchors.map((anchor) => {
      const issuer = imported(crypto, readBareAnchor(anchor));
      return { issuer, key: issuer.key.bytes };
    }),
    cred: new Uint8Array(certificates[0] ?? []),
  }));
}

interface Issuer {
  /** CBOR item of the name. */
  readonly name: Uint8Array;
  readonly key: PublicKey;
}

const keyUses = { digitalSignature: 1, keyAgreement: 1 << 4, keyCertSign: 1 << 5 } as const;

function pathCertificate(
  view: NativeView,
  { crypto, generationId }: NativeServerRules,
): PathCertificate<Issuer> {
  const { extensions } = view;
  // Read in any case: what is malformed is so whatever it is good for.
  const usage = nativeKeyUsage(extensions) ?? 0;
  const pathLength = nativePathLength(extensions);
  const known = [nativeExtensionIds.keyUsage, nativeExtensionIds.basicConstraints, generationId];
  const asIssuer = imported(crypto, view);
  return {
    authorityDepth: (usage & keyUses.keyCertSign) === 0 ? undefined : pathLength,
    asIssuer,
    publicKey: asIssuer.key,
    notAfterMs: (view.notAfterS ?? Infinity) * 1000,
    isIssuedBy: ({ name, key }) =>
      equal(view.issuer, name) && crypto.verify(key, 'ES256', view.tbs, view.signature),
    allows: (use) => (usage & keyUses[use]) !== 0,
    hasUnknownCritical: () =>
      extensions.some(
        (extension) => extension.critical && !known.some((id) => findNative([extension], id)),
      ),
    generation: () => {
      const stated = findNative(extensions, generationId);
      return stated && decodeServerGeneration(stated.value);
    },
  };
}

function imported(crypto: Crypto, { subject, publicKey }: NativeIssuer): Issuer {
  const key = crypto.importPublicKey('P-256', publicKey);
  if (key === undefined) throw new MalformedError('c509', 0, 'no point of P-256');
  return { name: subject, key };
}
