/**
 * CWT Claims Sets with a public key in `cnf` (RFC 8392, RFC 8747 §3.2): how EDHOC dresses raw public keys
 * (RFC 9528 §3.5.2). Both sides must hold the same bytes, so a parsed set keeps what was received.
 */
import { MalformedError } from '../bytes/malformed.ts';
import { CborReader } from '../cbor/reader.ts';
import * as cbor from '../cbor/writer.ts';
import { type CoseKey, encodeKey, readKey } from './key.ts';
import { readLabelled, type Label } from './headers.ts';
import { parseSign1, type Sign1 } from './sign1.ts';

export interface ClaimsSet {
  /** Exactly the bytes that were parsed or built: CRED_x. */
  readonly bytes: Uint8Array;
  readonly subject?: string;
  readonly issuer?: string;
  /** NumericDate, seconds. */
  readonly expiresAtSeconds?: number;
  readonly notBeforeSeconds?: number;
  readonly key: CoseKey;
  /** Every claim, those above included: the value as an encoded item. */
  readonly claims: ReadonlyMap<Label, Uint8Array>;
}

/** A CWT signed as COSE_Sign1; whether the signature is right is for the caller to find out. */
export interface SignedClaims {
  /** The untagged CWT as received: CRED_x (RFC 9528 §3.5.2). */
  readonly bytes: Uint8Array;
  readonly sign1: Sign1;
  readonly claims: ClaimsSet;
}

/** `{2: subject, 8: {1: COSE_Key}}`; without a subject it is the COSE_Key behind a1 08 a1 01. */
export function buildCcs(fields: CcsFields): ClaimsSet {
  return parseCcs(encodeCcs(fields));
}

export interface CcsFields {
  readonly subject?: string;
  readonly key: CoseKey;
}

/** The same where the bytes are all that is asked for. */
export function encodeCcs(fields: CcsFields): Uint8Array {
  const confirmation = cbor.map([cbor.integer(confirmationKey), encodeKey(fields.key)]);
  const entries: Array<readonly [Uint8Array, Uint8Array]> = [
    [cbor.integer(claimLabels.confirmation), confirmation],
  ];
  if (fields.subject !== undefined) {
    entries.push([cbor.integer(claimLabels.subject), cbor.text(fields.subject)]);
  }
  return cbor.map(...entries);
}

/** A set without a usable COSE_Key in `cnf` is refused: nothing could be authenticated with it. */
export function parseCcs(bytes: Uint8Array): ClaimsSet {
  const reader = new CborReader(bytes);
  const claims = readCcs(reader);
  reader.end();
  return claims;
}

export function readCcs(reader: CborReader): ClaimsSet {
  const start = reader.offset;
  const found: { -readonly [Name in keyof ClaimsSet]?: ClaimsSet[Name] } = {};
  const claims = readLabelled(reader, (label) => {
    switch (label) {
      case claimLabels.issuer:
        found.issuer = reader.text();
        return;
      case claimLabels.subject:
        found.subject = reader.text();
        return;
      case claimLabels.expiresAt:
        found.expiresAtSeconds = reader.unsigned();
        return;
      case claimLabels.notBefore:
        found.notBeforeSeconds = reader.unsigned();
        return;
      case claimLabels.confirmation:
        found.key = readConfirmation(reader);
        return;
      default:
        reader.skip();
    }
  });
  if (found.key === undefined) reader.fail('cnf claim is missing', start);
  return { ...found, key: found.key, claims, bytes: reader.since(start) };
}

/** A CWT in COSE_Sign1 form (RFC 8392 §7), untagged or with tag 18, whose claims hold a key. */
export function parseCwt(bytes: Uint8Array): SignedClaims {
  const sign1 = parseSign1(bytes);
  if (sign1.payload === undefined) throw new MalformedError('cwt', 0, 'claims are missing');
  return { bytes, sign1, claims: parseCcs(sign1.payload) };
}

/** CWT Claims registry. */
const claimLabels = { issuer: 1, subject: 2, expiresAt: 4, notBefore: 5, confirmation: 8 } as const;
/** CWT Confirmation Methods registry: COSE_Key. */
const confirmationKey = 1;

function readConfirmation(reader: CborReader): CoseKey {
  const start = reader.offset;
  let key: CoseKey | undefined;
  readLabelled(reader, (label) => {
    if (label === confirmationKey) key = readKey(reader);
    else reader.skip();
  });
  return key ?? reader.fail('cnf holds no COSE_Key', start);
}
