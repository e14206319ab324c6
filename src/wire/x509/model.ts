/**
 * What a certificate says (RFC 5280 §4.1), as values. Byte fields are views of the certificate that was
 * read; extension values stay encoded until `extensions.ts` is asked for their meaning.
 */

/** Longest certificate that is read; one signed with SLH-DSA-SHA2-128s takes 8.3 kB. */
export const maximumCertificateBytes = 65_536;

export interface AlgorithmIdentifier {
  /** Dotted. */
  readonly oid: string;
  /** DER of the parameters; absent where the algorithm has none. */
  readonly parameters?: Uint8Array;
}

/** One attribute of a relative distinguished name. */
export interface NameAttribute {
  /** Dotted attribute type, for example `2.5.4.3`. */
  readonly type: string;
  /** Identifier octet of the value. */
  readonly tag: number;
  /** Content octets of the value. */
  readonly value: Uint8Array;
}

export interface Name {
  readonly der: Uint8Array;
  /** Most significant first, as encoded; almost always one attribute each. */
  readonly rdns: ReadonlyArray<readonly NameAttribute[]>;
}

export interface PublicKeyInfo {
  /** DER of SubjectPublicKeyInfo. */
  readonly spki: Uint8Array;
  readonly algorithm: AlgorithmIdentifier;
  /** Content of the BIT STRING, without the octet of unused bits. */
  readonly key: Uint8Array;
}

export interface Extension {
  /** Dotted. */
  readonly oid: string;
  readonly critical: boolean;
  /** Content of the OCTET STRING: DER of the extension's own type. */
  readonly value: Uint8Array;
}

export interface Certificate {
  readonly der: Uint8Array;
  /** The signed part, TBSCertificate. */
  readonly tbs: Uint8Array;
  readonly version: 1 | 2 | 3;
  /** Content octets of the INTEGER, two's complement. */
  readonly serialNumber: Uint8Array;
  readonly signatureAlgorithm: AlgorithmIdentifier;
  readonly issuer: Name;
  /** Unix time. */
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  readonly subject: Name;
  readonly publicKey: PublicKeyInfo;
  /** No type occurs twice. */
  readonly extensions: readonly Extension[];
  readonly signature: Uint8Array;
}
