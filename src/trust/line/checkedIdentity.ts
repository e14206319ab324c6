/**
 * Checks what the authority endorsed before it is written into an element, and what stands in the element
 * after it was written. A wrong certificate is found here or in the field.
 */
import { equal } from '../../wire/bytes/bytes.ts';
import { toHex } from '../../wire/bytes/hex.ts';
import { MalformedError } from '../../wire/bytes/malformed.ts';
import type { EndorsedUnit } from '../../wire/line/endorsement.ts';
import type { OpenAnswer } from '../../wire/line/opening.ts';
import { bareAnchor } from '../../wire/c509/bareAnchor.ts';
import { encodeAnchors, encodeDeviceId } from '../../wire/line/slotData.ts';
import { signatureAlgorithmOids } from '../../wire/x509/algorithms.ts';
import { namesBirth } from '../../wire/x509/birthName.ts';
import { parseCertificate } from '../../wire/x509/certificate.ts';
import type { Certificate } from '../../wire/x509/model.ts';
import { sameName } from '../../wire/x509/names.ts';
import { p256Spki } from '../../wire/x509/spki.ts';
import type { Crypto } from '../../wire/crypto/crypto.ts';
import type { Element, ElementContents } from '../ports/element.ts';
import type { SignatureVerifier } from '../ports/keys.ts';
import type { UnitKeys } from '../ports/stationJournal.ts';

/** An identity that fits its unit. Only `check` makes one, and only this is written. */
export class CheckedIdentity {
  readonly #keys: UnitKeys;
  readonly deviceId: string;
  readonly eui64: Uint8Array | undefined;
  readonly contents: ElementContents;

  private constructor(unit: EndorsedUnit, contents: ElementContents, keys: UnitKeys) {
    this.deviceId = unit.deviceId;
    this.eui64 = unit.eui64;
    this.contents = contents;
    this.#keys = keys;
  }

  /** The identity, or in words what is wrong with it. */
  static check(
    unit: EndorsedUnit,
    chain: readonly Uint8Array[],
    keys: UnitKeys,
    opening: OpenAnswer,
    verifier: SignatureVerifier,
  ): CheckedIdentity | string {
    const fault = certificateFault(unit, chain, keys, verifier) ?? eui64Fault(unit.eui64, opening);
    if (fault !== undefined) return fault;
    return new CheckedIdentity(unit, contentsOf(unit, chain, opening), keys);
  }

  get keys(): UnitKeys {
    return this.#keys;
  }
}

/**
 * Reads every slot back and lets the element sign a fresh challenge: `undefined` when it holds exactly
 * this identity, else what differs. Rejects with an `ElementError`.
 */
export async function findDifference(
  element: Element,
  identity: CheckedIdentity,
  { crypto, verifier }: { readonly crypto: Crypto; readonly verifier: SignatureVerifier },
): Promise<string | undefined> {
  const { contents, keys } = identity;
  const idevid = contents.certificates?.idevid ?? [];
  if (!sameList(await element.readCertificate('idevid'), idevid)) return 'slot idevid differs';
  for (const slot of birthSlots) {
    if (!same(await element.readData(slot), contents.data?.[slot])) return `slot ${slot} differs`;
  }
  if (!same(await element.publicKey('agree'), keys.agree)) return 'agree key differs';
  // The key of the certificate that was read back, not of the one that was sent.
  const challenge = crypto.random(32);
  const signature = await element.sign('sign', challenge);
  const { publicKey } = parseCertificate(idevid[0] ?? new Uint8Array(0));
  const holds = verifier.verify(publicKey.spki, ecdsaWithSha256, challenge, signature);
  return holds ? undefined : 'its sign key is not that of its certificate';
}

const ecdsaWithSha256 = signatureAlgorithmOids['ecdsa-with-SHA256'];
const birthSlots = ['anchors', 'server-identity', 'eui64', 'device-id'] as const;

function contentsOf(
  unit: EndorsedUnit,
  chain: readonly Uint8Array[],
  opening: OpenAnswer,
): ElementContents {
  const { serverIdentity, anchors } = opening;
  return {
    certificates: { idevid: [unit.certificate, ...chain] },
    data: {
      anchors: encodeAnchors([...anchors, ...anchors.flatMap(bare)]),
      'device-id': encodeDeviceId(unit.deviceId),
      ...(serverIdentity.length > 0 ? { 'server-identity': serverIdentity } : {}),
      ...(unit.eui64 === undefined ? {} : { eui64: unit.eui64 }),
    },
  };
}

/** For a device that reads no X.509. */
function bare(anchor: Uint8Array): readonly Uint8Array[] {
  const encoded = bareAnchor(parseCertificate(anchor));
  return encoded === undefined ? [] : [encoded];
}

function certificateFault(
  unit: EndorsedUnit,
  chain: readonly Uint8Array[],
  keys: UnitKeys,
  verifier: SignatureVerifier,
): string | undefined {
  try {
    const leaf = parseCertificate(unit.certificate);
    const issuer = parseCertificate(chain[0] ?? new Uint8Array(0));
    if (!equal(leaf.publicKey.spki, p256Spki(keys.sign))) return 'the certificate has another key';
    if (!namesBirth(leaf.subject, unit.deviceId, unit.uid)) {
      return 'the certificate names another device';
    }
    return isIssued(leaf, issuer, verifier) ? undefined : 'the certificate is not of its issuer';
  } catch (error) {
    if (error instanceof MalformedError) return `the certificate is malformed: ${error.message}`;
    throw error;
  }
}

function isIssued(leaf: Certificate, issuer: Certificate, verifier: SignatureVerifier): boolean {
  const { oid } = leaf.signatureAlgorithm;
  return (
    sameName(leaf.issuer, issuer.subject) &&
    verifier.verify(issuer.publicKey.spki, oid, leaf.tbs, leaf.signature)
  );
}

function eui64Fault(eui64: Uint8Array | undefined, { eui64Range }: OpenAnswer): string | undefined {
  if (eui64Range === undefined)
    return eui64 === undefined ? undefined : 'an EUI-64 without a range';
  if (eui64 === undefined) return 'the EUI-64 is missing';
  const offset = numberOf(eui64) - numberOf(eui64Range.first);
  const inside = offset >= 0n && offset < BigInt(eui64Range.count);
  return inside ? undefined : `EUI-64 ${toHex(eui64)} is outside the order's range`;
}

function numberOf(bytes: Uint8Array): bigint {
  return BigInt(`0x${toHex(bytes)}`);
}

function same(left: Uint8Array | undefined, right: Uint8Array | undefined): boolean {
  return left === undefined || right === undefined ? left === right : equal(left, right);
}

function sameList(left: readonly Uint8Array[] | undefined, right: readonly Uint8Array[]): boolean {
  return left?.length === right.length && right.every((item, index) => same(left[index], item));
}
