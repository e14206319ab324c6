/**
 * ID_CRED_x (RFC 9528 §3.5.3): a COSE header map that names a credential or carries it. What it leads to
 * is found and judged outside; here it is read into a typed reference.
 */
import { MalformedError } from '../bytes/malformed.ts';
import { CborReader } from '../cbor/reader.ts';
import * as cbor from '../cbor/writer.ts';
import { headerLabels, type Label, readLabelled } from '../cose/headers.ts';
import { encodeIdentifier, readIdentifier } from './identifiers.ts';

/** One header parameter of an ID_CRED. Byte strings and items are views of what was read. */
export type CredentialReference =
  | { readonly kind: 'kid'; readonly kid: Uint8Array }
  /** COSE_CertHash (RFC 9360 §2): of DER for x5t, of the C509 array for c5t. */
  | { readonly kind: 'x5t' | 'c5t'; readonly algorithm: Label; readonly hash: Uint8Array }
  /** By value, end entity first: DER, or C509Certificate arrays. */
  | { readonly kind: 'x5chain' | 'c5c'; readonly certificates: readonly Uint8Array[] }
  /** Whoever fetches decides from where; nobody fetches from anywhere by default. */
  | { readonly kind: 'x5u' | 'c5u'; readonly uri: string }
  /** By value: the untagged claims set or CWT, which is CRED_x. */
  | { readonly kind: 'kccs' | 'kcwt'; readonly item: Uint8Array }
  | { readonly kind: 'other'; readonly label: Label; readonly item: Uint8Array };

/** Our limits; the RFCs have none. */
export const maximumChainLength = 8;
export const maximumUriLength = 1024;

/** `{4: kid}`. */
export function kidIdCred(kid: Uint8Array): Uint8Array {
  return cbor.map([cbor.integer(headerLabels.kid), cbor.bytes(kid)]);
}

/** `{14: ccs}`: the claims set by value, which is CRED_x (RFC 9528 §3.5.3.1). */
export function kccsIdCred(ccs: Uint8Array): Uint8Array {
  return cbor.map([cbor.integer(headerLabels.kccs), ccs]);
}

/**
 * The form that travels in PLAINTEXT_2 and PLAINTEXT_3 (RFC 9528 §3.5.3.2): a kid alone stands there as
 * the identifier, anything else as the map. Throws a `TypeError` when the bytes are no header map.
 */
export function compactIdCred(idCred: Uint8Array): Uint8Array {
  const kid = loneKid(idCred);
  return kid === undefined ? idCred : encodeIdentifier(kid);
}

/** The whole map, which is what goes into context_2, context_3 and the COSE protected header. */
export function readCompactIdCred(reader: CborReader): Uint8Array {
  if (reader.peek() !== 'map') return kidIdCred(readIdentifier(reader));
  const start = reader.offset;
  const items = readLabelled(reader, () => reader.skip());
  if (items.size === 0) reader.fail('ID_CRED is empty', start);
  const idCred = reader.since(start);
  if (loneKid(idCred) !== undefined) reader.fail('a kid alone must be in compact form', start);
  return idCred;
}

/** The references in an ID_CRED, in the order in which they stand. Throws a `MalformedError`. */
export function parseIdCred(idCred: Uint8Array): readonly CredentialReference[] {
  const reader = new CborReader(idCred);
  const references: CredentialReference[] = [];
  readLabelled(reader, (label) => references.push(readReference(reader, label)));
  reader.end();
  if (references.length === 0) throw new MalformedError('edhoc', 0, 'ID_CRED is empty');
  return references;
}

/** The kid when the map is `{4: bstr}` and nothing else. */
function loneKid(idCred: Uint8Array): Uint8Array | undefined {
  const reader = new CborReader(idCred);
  if (reader.map() !== 1) return undefined;
  if (reader.peek() === 'text' || reader.integer() !== headerLabels.kid) return undefined;
  if (reader.peek() !== 'bytes') return undefined;
  const kid = reader.bytes();
  reader.end();
  return kid;
}

function readReference(reader: CborReader, label: Label): CredentialReference {
  switch (label) {
    case headerLabels.kid:
      return { kind: 'kid', kid: reader.bytes() };
    case headerLabels.x5t:
      return { kind: 'x5t', ...readCertHash(reader) };
    case headerLabels.c5t:
      return { kind: 'c5t', ...readCertHash(reader) };
    case headerLabels.x5chain:
      return { kind: 'x5chain', certificates: readChain(reader) };
    case headerLabels.c5c:
      return { kind: 'c5c', certificates: readChain(reader) };
    case headerLabels.x5u:
      return { kind: 'x5u', uri: readUri(reader) };
    case headerLabels.c5u:
      return { kind: 'c5u', uri: readUri(reader) };
    case headerLabels.kccs:
      return { kind: 'kccs', item: readOf(reader, 'map') };
    case headerLabels.kcwt:
      return { kind: 'kcwt', item: readOf(reader, 'array') };
    default:
      return { kind: 'other', label, item: reader.item() };
  }
}

/** COSE_X509 standing alone, as an x5u leads to it. Views of the input. Throws a `MalformedError`. */
export function parseCertificateList(bytes: Uint8Array): readonly Uint8Array[] {
  const reader = new CborReader(bytes);
  const certificates = readChain(reader);
  reader.end();
  return certificates;
}

/** `[hashAlg: int / tstr, hashValue: bstr]`. */
function readCertHash(reader: CborReader): {
  readonly algorithm: Label;
  readonly hash: Uint8Array;
} {
  if (reader.array() !== 2) reader.fail('a certificate hash has two members');
  const algorithm = reader.peek() === 'text' ? reader.text() : reader.integer();
  return { algorithm, hash: reader.bytes() };
}

/**
 * One certificate stands alone, two or more are an array (RFC 9360 §2, COSE_X509). COSE_C509 has the same
 * shape, its byte strings hold C509Certificate items.
 */
function readChain(reader: CborReader): readonly Uint8Array[] {
  if (reader.peek() !== 'array') return [reader.bytes()];
  const start = reader.offset;
  const count = reader.array();
  if (count < 2) reader.fail('fewer than two certificates', start);
  if (count > maximumChainLength)
    reader.fail(`more than ${maximumChainLength} certificates`, start);
  return Array.from({ length: count }, () => reader.bytes());
}

/** RFC 9360 §2 has tag 32 (RFC 8949 §3.4.5.3); the C509 draft calls c5u a text string, so both are read. */
function readUri(reader: CborReader): string {
  const start = reader.offset;
  if (reader.peek() === 'tag' && reader.tag() !== uriTag) reader.fail('tag 32 expected', start);
  const uri = reader.text();
  return uri.length <= maximumUriLength ? uri : reader.fail('URI too long', start);
}

const uriTag = 32;

function readOf(reader: CborReader, major: 'map' | 'array'): Uint8Array {
  if (reader.peek() !== major) reader.fail(`${major} expected`);
  return reader.item();
}
