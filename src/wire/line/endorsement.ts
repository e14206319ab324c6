/** Endorsement: the keys of up to a hundred elements go in, their birth certificates come out. */
import { CborReader } from '../cbor/reader.ts';
import * as cbor from '../cbor/writer.ts';
import {
  lineLimits,
  messageTypes,
  readArrayOf,
  readBytes,
  readCertificates,
  readHead,
  readList,
  readName,
  readPoint,
  readLine,
} from './fields.ts';
import { proofLevels, type ProofLevel, readProofLevel } from './ticket.ts';

export interface UnitRequest {
  /** The element's own unique number, as the chip reports it. */
  readonly uid: Uint8Array;
  /** As the chip reports them, for the manifest and for revocation by lot; one printable line each. */
  readonly model: string;
  readonly firmware: string;
  /** DER of a PKCS#10 request signed by the element's `sign` key. Only key and proof are taken from it. */
  readonly csr: Uint8Array;
  readonly agree: AgreeKey | undefined;
  /** What the station vouches for; `vendor-anchored` needs `evidence`. */
  readonly proofLevel: ProofLevel;
  /** Attestation in the form of the element's family. */
  readonly evidence: Uint8Array | undefined;
}

/** The element's static Diffie-Hellman key. */
export interface AgreeKey {
  /** Uncompressed P-256 point. */
  readonly publicKey: Uint8Array;
  /** 32 bytes, made as `agreeProof.ts` says. */
  readonly proof: Uint8Array;
}

export interface EndorseRequest {
  /** The ticket as the authority signed it. */
  readonly ticket: Uint8Array;
  readonly units: readonly UnitRequest[];
}

export type UnitAnswer = EndorsedUnit | RefusedUnit;

export interface EndorsedUnit {
  readonly uid: Uint8Array;
  readonly deviceId: string;
  /** Absent when the product has no EUI-64. */
  readonly eui64: Uint8Array | undefined;
  /** DER of the IDevID. */
  readonly certificate: Uint8Array;
}

export interface RefusedUnit {
  readonly uid: Uint8Array;
  /** Stable: programs may switch on it. */
  readonly code: string;
  readonly reason: string;
}

export interface EndorseAnswer {
  /** In the order of the request. */
  readonly units: readonly UnitAnswer[];
  /** DER certificates of the issuer and those above it, without the root. */
  readonly chain: readonly Uint8Array[];
}

export function encodeEndorseRequest(request: EndorseRequest): Uint8Array {
  return cbor.array(
    cbor.integer(messageTypes.endorseRequest),
    cbor.bytes(request.ticket),
    cbor.array(...request.units.map(encodeUnitRequest)),
  );
}

/** Refuses a request that names one element twice: the answer would be ambiguous. */
export function readEndorseRequest(payload: Uint8Array): EndorseRequest {
  const reader = new CborReader(payload);
  readHead(reader, 'endorseRequest', 3);
  const ticket = readBytes(reader, 'ticket', 1, lineLimits.ticket);
  const unitsOffset = reader.offset;
  const units = readList(reader, 'units', 1, lineLimits.unitsPerRequest, () =>
    readUnitRequest(reader),
  );
  reader.end();
  if (new Set(units.map((unit) => unit.uid.join())).size !== units.length) {
    reader.fail('one element named twice', unitsOffset);
  }
  return { ticket, units };
}

export function encodeEndorseAnswer(answer: EndorseAnswer): Uint8Array {
  return cbor.array(
    cbor.integer(messageTypes.endorseAnswer),
    cbor.array(...answer.units.map(encodeUnitAnswer)),
    cbor.array(...answer.chain.map(cbor.bytes)),
  );
}

export function readEndorseAnswer(payload: Uint8Array): EndorseAnswer {
  const reader = new CborReader(payload);
  readHead(reader, 'endorseAnswer', 3);
  const answer: EndorseAnswer = {
    units: readList(reader, 'units', 1, lineLimits.unitsPerRequest, () => readUnitAnswer(reader)),
    chain: readCertificates(reader, 'chain'),
  };
  reader.end();
  return answer;
}

export function isEndorsed(unit: UnitAnswer): unit is EndorsedUnit {
  return 'certificate' in unit;
}

function encodeUnitRequest(unit: UnitRequest): Uint8Array {
  return cbor.array(
    cbor.bytes(unit.uid),
    cbor.text(unit.model),
    cbor.text(unit.firmware),
    cbor.bytes(unit.csr),
    unit.agree === undefined
      ? cbor.nullItem
      : cbor.array(cbor.bytes(unit.agree.publicKey), cbor.bytes(unit.agree.proof)),
    cbor.integer(proofLevels.indexOf(unit.proofLevel)),
    unit.evidence === undefined ? cbor.nullItem : cbor.bytes(unit.evidence),
  );
}

function readUnitRequest(reader: CborReader): UnitRequest {
  readArrayOf(reader, 7, 'unit');
  return {
    uid: readBytes(reader, 'uid', 1, lineLimits.uid),
    model: readLine(reader, 'model', lineLimits.nameCharacters),
    firmware: readLine(reader, 'firmware', lineLimits.nameCharacters),
    csr: readBytes(reader, 'CSR', 1, lineLimits.csr),
    agree: readAgreeKey(reader),
    proofLevel: readProofLevel(reader),
    evidence: reader.takeNull() ? undefined : readBytes(reader, 'evidence', 1, lineLimits.evidence),
  };
}

function readAgreeKey(reader: CborReader): AgreeKey | undefined {
  if (reader.takeNull()) return undefined;
  readArrayOf(reader, 2, 'agree key');
  return {
    publicKey: readPoint(reader, 'agree key'),
    proof: readBytes(reader, 'agree proof', 32, 32),
  };
}

const endorsed = 0;
const refused = 1;

function encodeUnitAnswer(unit: UnitAnswer): Uint8Array {
  if (!isEndorsed(unit)) {
    return cbor.array(
      cbor.bytes(unit.uid),
      cbor.integer(refused),
      cbor.text(unit.code),
      cbor.text(unit.reason),
    );
  }
  return cbor.array(
    cbor.bytes(unit.uid),
    cbor.integer(endorsed),
    cbor.text(unit.deviceId),
    unit.eui64 === undefined ? cbor.nullItem : cbor.bytes(unit.eui64),
    cbor.bytes(unit.certificate),
  );
}

function readUnitAnswer(reader: CborReader): UnitAnswer {
  const start = reader.offset;
  const members = reader.array();
  const uid = readBytes(reader, 'uid', 1, lineLimits.uid);
  const kind = reader.unsigned();
  if (kind === refused && members === 4) {
    return {
      uid,
      code: readName(reader, 'code', lineLimits.codeCharacters),
      reason: readLine(reader, 'reason'),
    };
  }
  if (kind !== endorsed || members !== 5) reader.fail('neither endorsed nor refused', start);
  return {
    uid,
    deviceId: readDeviceId(reader),
    eui64: reader.takeNull() ? undefined : readBytes(reader, 'EUI-64', 8, 8),
    certificate: readBytes(reader, 'certificate', 1, lineLimits.certificate),
  };
}

/** 16 characters of lower-case Crockford base32: 10 random bytes. */
function readDeviceId(reader: CborReader): string {
  const start = reader.offset;
  const deviceId = reader.text();
  return /^[0-9a-hjkmnp-tv-z]{16}$/.test(deviceId) ? deviceId : reader.fail('no device id', start);
}
