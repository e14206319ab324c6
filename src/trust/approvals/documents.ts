/**
 * What two persons sign: the request, and what the other one says to its hash. Both are COSE_Sign1 (ES256)
 * around deterministic CBOR that begins with a label of its own, so that no signature passes for another.
 *
 *     request  = [ "birthmark approval request v1", installation, act, parameters, requester,
 *                  requestedMs, expiresMs, nonce ]
 *     decision = [ "birthmark approval decision v1", installation, request, decision, by, atMs ]
 */
import { equal } from '../../wire/bytes/bytes.ts';
import { CborReader } from '../../wire/cbor/reader.ts';
import * as cbor from '../../wire/cbor/writer.ts';
import type { Crypto } from '../../wire/crypto/crypto.ts';
import { fixedSignature } from '../../wire/der/ecdsa.ts';
import {
  isSignedBy,
  parseSigned,
  prepareSigned,
  type SignedMessage,
} from '../../wire/line/signed.ts';
import { p256Point } from '../../wire/x509/spki.ts';
import { type Decision, decisions } from '../ports/approvalStore.ts';
import type { Signer } from '../ports/keys.ts';
import { type ActKind, isActKind, readParameters } from './acts.ts';

export interface RequestDocument {
  /** Of the installation, 16 bytes. */
  readonly installation: Uint8Array;
  readonly act: ActKind;
  /** As `encodeParameters` writes them. */
  readonly parameters: Uint8Array;
  readonly requester: string;
  /** By the requester's clock. */
  readonly requestedMs: number;
  readonly expiresMs: number;
  /** 16 bytes: the same request a second time is another one. */
  readonly nonce: Uint8Array;
}

export interface DecisionDocument {
  readonly installation: Uint8Array;
  /** SHA-256 over the request document. */
  readonly request: Uint8Array;
  readonly decision: Decision;
  readonly by: string;
  readonly atMs: number;
}

/** Bytes; a leaf of the audit log holds a signed request whole. */
export const maximumDocument = 60_000;
const maximumName = 64;

export function encodeRequest(document: RequestDocument): Uint8Array {
  return cbor.array(
    cbor.text(labels.request),
    cbor.bytes(document.installation),
    cbor.text(document.act),
    document.parameters,
    cbor.text(document.requester),
    cbor.integer(document.requestedMs),
    cbor.integer(document.expiresMs),
    cbor.bytes(document.nonce),
  );
}

/** Throws a `MalformedError` for what `encodeRequest` does not write. */
export function readRequest(bytes: Uint8Array): RequestDocument {
  const reader = begin(bytes, labels.request, 8);
  const installation = fixed(reader, 16);
  const actStart = reader.offset;
  const word = reader.text();
  const act = isActKind(word) ? word : reader.fail('no act that needs an approval', actStart);
  const parameters = reader.item().slice();
  readParameters(parameters);
  const document = {
    installation,
    act,
    parameters,
    requester: name(reader),
    requestedMs: reader.unsigned(),
    expiresMs: reader.unsigned(),
    nonce: fixed(reader, 16),
  };
  reader.end();
  return document;
}

export function encodeDecision(document: DecisionDocument): Uint8Array {
  return cbor.array(
    cbor.text(labels.decision),
    cbor.bytes(document.installation),
    cbor.bytes(document.request),
    cbor.text(document.decision),
    cbor.text(document.by),
    cbor.integer(document.atMs),
  );
}

/** Throws a `MalformedError` for what `encodeDecision` does not write. */
export function readDecision(bytes: Uint8Array): DecisionDocument {
  const reader = begin(bytes, labels.decision, 6);
  const installation = fixed(reader, 16);
  const request = fixed(reader, 32);
  const start = reader.offset;
  const word = reader.text();
  const decision = decisions.find((one) => one === word);
  const document = {
    installation,
    request,
    decision: decision ?? reader.fail('no decision', start),
    by: name(reader),
    atMs: reader.unsigned(),
  };
  reader.end();
  return document;
}

export async function signDocument(signer: Signer, document: Uint8Array): Promise<Uint8Array> {
  if (signer.algorithm !== 'ecdsa-with-SHA256') throw new TypeError('operators sign with P-256');
  const unsigned = prepareSigned(document);
  return unsigned.finish(fixedSignature(await signer.sign(unsigned.toBeSigned), 32));
}

/** A document and its signature, which means nothing before `isSigned` said yes. */
export interface SignedDocument<Document> {
  readonly document: Document;
  /** SHA-256 over the document: what a request is known by. */
  readonly id: Uint8Array;
  readonly message: SignedMessage;
}

/** Throws a `MalformedError` or an `UnsupportedError`. */
export function readSigned<Document>(
  crypto: Crypto,
  signed: Uint8Array,
  read: (document: Uint8Array) => Document,
): SignedDocument<Document> {
  const message = parseSigned(signed);
  const { payload } = message;
  return { document: read(payload), id: crypto.hash('SHA-256', payload), message };
}

/** Whether the key of the certificate signed it; false for keys that operators do not have. */
export function isSigned(crypto: Crypto, spki: Uint8Array, message: SignedMessage): boolean {
  const key = crypto.importPublicKey('P-256', p256Point(spki));
  return key !== undefined && isSignedBy(crypto, key, message);
}

/** Whether both say the same, byte by byte. */
export function isSameAct(
  document: Pick<RequestDocument, 'act' | 'parameters'>,
  act: ActKind,
  parameters: Uint8Array,
): boolean {
  return document.act === act && equal(document.parameters, parameters);
}

const labels = {
  request: 'birthmark approval request v1',
  decision: 'birthmark approval decision v1',
} as const;

function begin(bytes: Uint8Array, label: string, members: number): CborReader {
  const reader = new CborReader(bytes);
  if (bytes.length > maximumDocument) reader.fail('document too long');
  if (reader.array() !== members) reader.fail(`${members} members expected`, 0);
  const start = reader.offset;
  if (reader.text() !== label) reader.fail(`not a ${label}`, start);
  return reader;
}

function fixed(reader: CborReader, length: number): Uint8Array {
  const start = reader.offset;
  const bytes = reader.bytes();
  return bytes.length === length ? bytes.slice() : reader.fail(`${length} bytes expected`, start);
}

function name(reader: CborReader): string {
  const start = reader.offset;
  const text = reader.text();
  return text.length > 0 && text.length <= maximumName
    ? text
    : reader.fail(`a name has 1 to ${maximumName} characters`, start);
}
