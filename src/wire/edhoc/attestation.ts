/**
 * Remote attestation over EDHOC (draft-ietf-lake-ra), background-check model: proposal, request and evidence
 * as EAD items, and the binder that ties the evidence to this handshake and its attester. Whether the
 * measurements are good is for a verifier outside; it needs the binder beside the evidence.
 */
import { CborReader } from '../cbor/reader.ts';
import * as cbor from '../cbor/writer.ts';
import { type Label, readLabelled } from '../cose/headers.ts';
import {
  parseSign1,
  prepareSign1,
  type Sign1,
  type UnsignedSign1,
  verifySign1,
} from '../cose/sign1.ts';
import { signatureAlgorithmNumbers } from '../cose/algorithms.ts';
import type { Crypto, PublicKey, SignatureAlgorithm } from '../crypto/crypto.ts';
import { utf8 } from '../bytes/utf8.ts';
import type { EadItem } from './ead.ts';
import type { Algorithms } from './schedule.ts';
import type { PendingKeys } from './session.ts';
import { hashLength } from './suites.ts';

/**
 * EAD labels are not assigned and not suggested by the draft. Exporter label 2 is its choice, and EDHOC-PSK
 * suggests the same one for another purpose: where both are used one of them has to be changed.
 */
export interface AttestationCodePoints {
  /** Proposal, request or evidence, by the message that holds it. */
  readonly backgroundCheckLabel: number;
  /** In EAD_1: the responder is asked to attest. */
  readonly triggerLabel: number;
  readonly exporterLabel: number;
}

/** Of the ranges for private use, until there are numbers: both ends alike. */
export const privateAttestation: AttestationCodePoints = {
  backgroundCheckLabel: 65_003,
  triggerLabel: 65_004,
  exporterLabel: 32_769,
};

/** The evidence type of the draft's example. */
export const exampleEvidenceFormat = 258;

export const maximumEvidenceTypes = 16;
export const minimumNonceBytes = 8;
export const maximumNonceBytes = 64;

/** Attestation_proposal: the evidence types that the attester can give, as CoAP content formats. */
export function encodeProposal(contentFormats: readonly number[]): Uint8Array {
  if (contentFormats.length === 0 || contentFormats.length > maximumEvidenceTypes) {
    throw new TypeError(`a proposal has 1 to ${maximumEvidenceTypes} evidence types`);
  }
  return cbor.sequence(...contentFormats.map(cbor.integer));
}

/** Throws a `MalformedError`. */
export function parseProposal(value: Uint8Array): readonly number[] {
  const reader = new CborReader(value);
  const contentFormats: number[] = [];
  do {
    if (contentFormats.length === maximumEvidenceTypes) reader.fail('too many evidence types');
    contentFormats.push(reader.unsigned(0xffff));
  } while (!reader.atEnd);
  return contentFormats;
}

/** Attestation_request: the evidence type that was chosen, and a nonce of the verifier. */
export interface AttestationRequest {
  readonly contentFormat: number;
  readonly nonce: Uint8Array;
}

export function encodeRequest({ contentFormat, nonce }: AttestationRequest): Uint8Array {
  if (!isNonce(nonce)) throw new TypeError('a nonce has 8 to 64 bytes');
  return cbor.sequence(cbor.integer(contentFormat), cbor.bytes(nonce));
}

/** Throws a `MalformedError`. */
export function parseRequest(value: Uint8Array): AttestationRequest {
  const reader = new CborReader(value);
  const contentFormat = reader.unsigned(0xffff);
  const nonce = readNonce(reader);
  reader.end();
  return { contentFormat, nonce };
}

export function attestationItem(
  codePoints: AttestationCodePoints,
  value: Uint8Array,
  critical = false,
): EadItem {
  return { label: codePoints.backgroundCheckLabel, critical, value };
}

export function triggerItem(codePoints: AttestationCodePoints): EadItem {
  return { label: codePoints.triggerLabel, critical: false };
}

/**
 * attestation_binder_m3 = HKDF-Expand( 0, [ H_12, "attestation", ID_CRED_I ], hash_length ). A key of zeros
 * has the same HMAC whatever its length.
 */
export function binderOfMessage3(
  algorithms: Algorithms,
  h12: Uint8Array,
  idCredI: Uint8Array,
): Uint8Array {
  const { crypto, suite } = algorithms;
  const lengthBytes = hashLength(suite);
  const info = cbor.array(cbor.bytes(h12), cbor.text(purpose), idCredI);
  const zeros = crypto.secret(new Uint8Array(lengthBytes));
  return crypto.hkdfExpand(suite.hash, zeros, info, lengthBytes);
}

/** attestation_binder_m4 = EDHOC_Exporter( label, "attestation", hash_length ). */
export function binderOfMessage4(
  keys: PendingKeys,
  codePoints: AttestationCodePoints,
  lengthBytes: number,
): Uint8Array {
  return keys.exporter(codePoints.exporterLabel, utf8(purpose), lengthBytes);
}

const purpose = 'attestation';

/** The minimal claims set of an EAT (RFC 9711). */
export interface EvidenceClaims {
  /** eat_nonce: that of the request. */
  readonly nonce: Uint8Array;
  /** 7 to 33 bytes. */
  readonly ueid: Uint8Array;
  readonly measurements: readonly Measurement[];
}

export interface Measurement {
  /** CoAP content format of the content: CoSWID is 258. */
  readonly contentFormat: number;
  /** An encoded item: the draft's CDDL has a byte string, its example the structure itself. */
  readonly content: Uint8Array;
}

export const maximumMeasurements = 32;

/** RFC 9711 §4.2.1.1: type RAND, here of 16 bytes of the SHA-256 of the attestation key, x alone. */
export function ueidOfKey(crypto: Crypto, attestationKey: PublicKey): Uint8Array {
  const digest = crypto.hash('SHA-256', attestationKey.bytes);
  return Uint8Array.of(1, ...digest.subarray(0, 16));
}

/** The attestation key signs `toBeSigned`; `finish` gives the value of the EAD item. */
export function prepareEvidence(
  claims: EvidenceClaims,
  algorithm: SignatureAlgorithm,
  binder: Uint8Array,
): UnsignedSign1 {
  return prepareSign1({
    protected: { algorithm: signatureAlgorithmNumbers[algorithm] },
    payload: encodeClaims(claims),
    externalAad: binder,
    tagged: true,
  });
}

export interface Evidence {
  readonly sign1: Sign1;
  /** Believed by nobody before `verifyEvidence` and the appraisal of a verifier. */
  readonly claims: EvidenceClaims;
}

/** Throws a `MalformedError` or an `UnsupportedError`. */
export function parseEvidence(value: Uint8Array): Evidence {
  const sign1 = parseSign1(value);
  const { payload } = sign1;
  if (payload === undefined) return new CborReader(value).fail('evidence without claims', 0);
  return { sign1, claims: parseClaims(payload) };
}

/** Whether this attestation key signed the evidence for this handshake. */
export function verifyEvidence(
  crypto: Crypto,
  attestationKey: PublicKey,
  { sign1 }: Evidence,
  binder: Uint8Array,
): boolean {
  return verifySign1(crypto, attestationKey, sign1, { externalAad: binder });
}

export function encodeClaims({ nonce, ueid, measurements }: EvidenceClaims): Uint8Array {
  if (!isNonce(nonce) || !isUeid(ueid)) throw new TypeError('nonce or ueid of a wrong length');
  const items = measurements.map(({ contentFormat, content }) =>
    cbor.array(cbor.integer(contentFormat), content),
  );
  return cbor.map(
    [cbor.integer(claimLabels.nonce), cbor.bytes(nonce)],
    [cbor.integer(claimLabels.ueid), cbor.bytes(ueid)],
    [cbor.integer(claimLabels.measurements), cbor.array(...items)],
  );
}

/** Throws a `MalformedError`. Claims beyond the minimal set are read over. */
export function parseClaims(bytes: Uint8Array): EvidenceClaims {
  const reader = new CborReader(bytes);
  const found: { -readonly [Name in keyof EvidenceClaims]?: EvidenceClaims[Name] } = {};
  readLabelled(reader, (label) => readClaim(reader, label, found));
  reader.end();
  const { nonce, ueid, measurements } = found;
  if (nonce === undefined || ueid === undefined || measurements === undefined) {
    return reader.fail('a claim is missing', 0);
  }
  return { nonce, ueid, measurements };
}

/** CWT Claims registry (RFC 9711). */
const claimLabels = { nonce: 10, ueid: 256, measurements: 273 } as const;

function readClaim(
  reader: CborReader,
  label: Label,
  found: { -readonly [Name in keyof EvidenceClaims]?: EvidenceClaims[Name] },
): void {
  switch (label) {
    case claimLabels.nonce:
      found.nonce = readNonce(reader);
      return;
    case claimLabels.ueid: {
      const start = reader.offset;
      const ueid = reader.bytes();
      if (!isUeid(ueid)) reader.fail('ueid of a wrong length', start);
      found.ueid = ueid;
      return;
    }
    case claimLabels.measurements:
      found.measurements = readMeasurements(reader);
      return;
    default:
      reader.skip();
  }
}

function readMeasurements(reader: CborReader): readonly Measurement[] {
  const start = reader.offset;
  const count = reader.array();
  if (count === 0 || count > maximumMeasurements) reader.fail('number of measurements', start);
  return Array.from({ length: count }, () => {
    if (reader.array() !== 2) reader.fail('a measurement has two members');
    return { contentFormat: reader.unsigned(0xffff), content: reader.item() };
  });
}

function readNonce(reader: CborReader): Uint8Array {
  const start = reader.offset;
  const nonce = reader.bytes();
  return isNonce(nonce) ? nonce : reader.fail('a nonce has 8 to 64 bytes', start);
}

function isNonce(nonce: Uint8Array): boolean {
  return nonce.length >= minimumNonceBytes && nonce.length <= maximumNonceBytes;
}

/** RFC 9711 §4.2.1. */
function isUeid(ueid: Uint8Array): boolean {
  return ueid.length >= 7 && ueid.length <= 33;
}
