/** What one manifest entry says about an element: the payload of its JWS. */
import { parseBase64, parseBase64url, toBase64, toBase64url } from '../bytes/base64.ts';
import { concat, equal } from '../bytes/bytes.ts';
import { parseHex, toHex } from '../bytes/hex.ts';
import { UnsupportedError } from '../bytes/malformed.ts';
import type { Members } from './members.ts';
import { formatTimestamp, parseTimestamp } from './timestamp.ts';

export interface ElementRecord {
  readonly model: string;
  readonly partNumber: string;
  readonly manufacturer: Entity;
  /** Who made the identity. */
  readonly provisioner: Entity;
  readonly distributor: Entity;
  /** Globally unique name of the lot. */
  readonly groupId: string;
  readonly provisionedMs: number;
  /** 1 to 64 bytes, unique within the element family. */
  readonly uniqueId: Uint8Array;
  readonly keys: readonly ManifestKey[];
  readonly modelInfo: ModelInfo | undefined;
  /** Only in manifests of ours. */
  readonly birth: BirthMembers | undefined;
}

/** X.520 names; at least one is there. */
export interface Entity {
  readonly organizationName?: string;
  readonly organizationalUnitName?: string;
}

export interface ManifestKey {
  /** Slot of the private key: a number in Microchip's manifests, `sign` or `agree` in ours. */
  readonly slot: string;
  /** P-256 point, uncompressed, 65 bytes. Whether it lies on the curve is checked by the import. */
  readonly point: Uint8Array;
  /** DER, leaf first; empty when the key has no certificate. */
  readonly certificates: readonly Uint8Array[];
}

/** Microchip's `modelInfo`: what the chip says about itself and what its public memory holds. */
export interface ModelInfo {
  /** Answer of the Info command, 4 bytes. */
  readonly deviceRevision: Uint8Array | undefined;
  readonly publicData: readonly PublicData[];
}

export interface PublicData {
  readonly zone: 'data' | 'otp' | 'config';
  /** In zone `data` only. */
  readonly slot: number | undefined;
  readonly offset: number;
  readonly data: Uint8Array;
}

/** What we add to the published members; other readers ignore it. */
export interface BirthMembers {
  /** 16 characters of lower-case Crockford base32. */
  readonly deviceId: string;
  /** 8 bytes. */
  readonly eui64: Uint8Array;
  readonly product: string;
  readonly batch: string;
  /** Element family: which rules the element follows. */
  readonly family: string;
  readonly proofLevel: ManifestProofLevel;
}

/** What was proven about the sign key, weakest first. */
export const manifestProofLevels = ['possession', 'line-anchored', 'vendor-anchored'] as const;

export type ManifestProofLevel = (typeof manifestProofLevels)[number];

const maximumKeys = 32;
const maximumCertificates = 5;
const maximumCertificateCharacters = 8192;
const maximumPublicData = 64;
const maximumPublicDataCharacters = 2048;

/** Throws a `ManifestFault` that names the member, an `UnsupportedError` for another version. */
export function readRecord(payload: Members): ElementRecord {
  const version = payload.integer('version', 0, Number.MAX_SAFE_INTEGER);
  if (version !== 1) throw new UnsupportedError('manifest', `version ${version}`);
  // The specification spells `distributer`, the published entry `distributor`.
  const distributor = payload.has('distributor') ? 'distributor' : 'distributer';
  return {
    model: payload.text('model'),
    partNumber: payload.text('partNumber'),
    manufacturer: readEntity(payload.object('manufacturer')),
    provisioner: readEntity(payload.object('provisioner')),
    distributor: readEntity(payload.object(distributor)),
    groupId: payload.text('groupId'),
    provisionedMs: payload.parsed(
      'provisioningTimestamp',
      parseTimestamp,
      'an RFC 3339 time in UTC',
    ),
    uniqueId: readUniqueId(payload),
    keys: readKeys(payload.object('publicKeySet')),
    modelInfo: payload.has('modelInfo') ? readModelInfo(payload.object('modelInfo')) : undefined,
    birth: payload.has('deviceId') ? readBirth(payload) : undefined,
  };
}

/** The JSON text of the payload, members in the published order, ours last. */
export function recordText(record: ElementRecord): string {
  return JSON.stringify({
    version: 1,
    model: record.model,
    partNumber: record.partNumber,
    manufacturer: record.manufacturer,
    provisioner: record.provisioner,
    distributor: record.distributor,
    groupId: record.groupId,
    provisioningTimestamp: formatTimestamp(record.provisionedMs),
    uniqueId: toHex(record.uniqueId),
    publicKeySet: { keys: record.keys.map(keyMembers) },
    ...(record.modelInfo === undefined ? {} : { modelInfo: modelInfoMembers(record.modelInfo) }),
    ...(record.birth === undefined ? {} : { ...record.birth, eui64: toHex(record.birth.eui64) }),
  });
}

/** `uniqueId` of a payload or of an entry's unprotected header. */
export function readUniqueId(members: Members): Uint8Array {
  const uniqueId = members.parsed('uniqueId', parseLowerHex, 'lower-case hexadecimal');
  if (uniqueId.length > 64) members.fail('uniqueId', 'is longer than 64 bytes');
  return uniqueId;
}

function readEntity(entity: Members): Entity {
  const organizationName = entity.optionalText('organizationName');
  const organizationalUnitName = entity.optionalText('organizationalUnitName');
  if (organizationName === undefined && organizationalUnitName === undefined) {
    entity.fail('organizationName', 'is missing, and organizationalUnitName too');
  }
  return {
    ...(organizationName === undefined ? {} : { organizationName }),
    ...(organizationalUnitName === undefined ? {} : { organizationalUnitName }),
  };
}

function readKeys(keySet: Members): ManifestKey[] {
  const keys: ManifestKey[] = [];
  for (const member of keySet.objects('keys', maximumKeys)) {
    const key = readKey(member);
    for (const other of keys) {
      if (other.slot === key.slot) member.fail('kid', 'names a slot twice');
      if (equal(other.point, key.point)) member.fail('x', 'is the key of another slot');
    }
    keys.push(key);
  }
  if (keys.length === 0) keySet.fail('keys', 'is empty');
  return keys;
}

/** RFC 7517 §4 and RFC 7518 §6.2.1; no private member may be here. */
function readKey(key: Members): ManifestKey {
  if (key.text('kty') !== 'EC') key.fail('kty', 'is not EC');
  if (key.text('crv') !== 'P-256') key.fail('crv', 'is not P-256');
  if (key.has('d')) key.fail('d', 'is a private key');
  const certificates = key.has('x5c')
    ? key.texts('x5c', maximumCertificates, maximumCertificateCharacters)
    : [];
  return {
    slot: key.text('kid', 32),
    point: concat(Uint8Array.of(4), readCoordinate(key, 'x'), readCoordinate(key, 'y')),
    // RFC 7517 §4.7: plain base64 with padding, unlike everything else here.
    certificates: certificates.map(
      (text, index) => parseBase64(text) ?? key.fail(`x5c[${index}]`, 'is not base64'),
    ),
  };
}

function readCoordinate(key: Members, name: 'x' | 'y'): Uint8Array {
  const coordinate = key.parsed(name, parseBase64url, 'base64url');
  if (coordinate.length !== 32) key.fail(name, 'is not 32 bytes long');
  return coordinate;
}

function keyMembers(key: ManifestKey): object {
  return {
    kid: key.slot,
    kty: 'EC',
    crv: 'P-256',
    x: toBase64url(key.point.subarray(1, 33)),
    y: toBase64url(key.point.subarray(33)),
    ...(key.certificates.length === 0 ? {} : { x5c: key.certificates.map(toBase64) }),
  };
}

function readModelInfo(info: Members): ModelInfo {
  const deviceRevision = info.has('deviceRevision')
    ? info.parsed('deviceRevision', parseHex, 'hexadecimal')
    : undefined;
  if (deviceRevision !== undefined && deviceRevision.length !== 4) {
    info.fail('deviceRevision', 'is not 4 bytes long');
  }
  const publicData = info.has('publicData') ? info.objects('publicData', maximumPublicData) : [];
  return { deviceRevision, publicData: publicData.map(readPublicData) };
}

function readPublicData(item: Members): PublicData {
  const zone = item.text('zone');
  if (zone !== 'data' && zone !== 'otp' && zone !== 'config') {
    item.fail('zone', 'is not data, otp or config');
  }
  const data = item.text('data', maximumPublicDataCharacters);
  return {
    zone,
    slot: zone === 'data' ? item.integer('slot', 0, 15) : undefined,
    offset: item.integer('offset', 0, 65_535),
    data: parseBase64url(data) ?? item.fail('data', 'is not base64url'),
  };
}

function modelInfoMembers(info: ModelInfo): object {
  return {
    ...(info.deviceRevision === undefined ? {} : { deviceRevision: toHex(info.deviceRevision) }),
    publicData: info.publicData.map(({ zone, slot, offset, data }) => ({
      zone,
      ...(slot === undefined ? {} : { slot }),
      offset,
      data: toBase64url(data),
    })),
  };
}

function readBirth(payload: Members): BirthMembers {
  const eui64 = payload.parsed('eui64', parseLowerHex, 'lower-case hexadecimal');
  if (eui64.length !== 8) payload.fail('eui64', 'is not 8 bytes long');
  return {
    deviceId: payload.parsed('deviceId', parseDeviceId, '16 characters of Crockford base32'),
    eui64,
    product: payload.text('product'),
    batch: payload.text('batch'),
    family: payload.text('family', 64),
    proofLevel: payload.parsed('proofLevel', parseProofLevel, 'a known proof level'),
  };
}

function parseLowerHex(text: string): Uint8Array | undefined {
  return text === text.toLowerCase() ? parseHex(text) : undefined;
}

function parseDeviceId(text: string): string | undefined {
  return /^[0-9a-hjkmnp-tv-z]{16}$/.test(text) ? text : undefined;
}

function parseProofLevel(text: string): ManifestProofLevel | undefined {
  return manifestProofLevels.find((level) => level === text);
}
