/** Every intent and every signature: is it what it says, signed by whom it says, and there once. */
import { createHash } from 'node:crypto';
import { toHex } from '../../wire/bytes/hex.ts';
import { decompressPoint } from '../../drivers/keys/software/points.ts';
import { readAuditEntry } from '../../trust/audit/entry.ts';
import { MalformedError, UnsupportedError } from '../../wire/bytes/malformed.ts';
import { completeEither, parseEitherCertificate } from '../../wire/c509/either.ts';
import { firstRow } from '../../drivers/store/snapshot.ts';
import { namesBirth } from '../../wire/x509/birthName.ts';
import type { Certificate } from '../../wire/x509/model.ts';
import { attributeText } from '../../wire/x509/names.ts';
import type { Inspection, Row } from './fsck.ts';
import { type IssuerKeys, keyIdentifierOf } from './issuerKeys.ts';
import { bytes, hex, isNull, number, string } from './values.ts';

export interface CheckedCertificates {
  readonly signed: number;
  readonly revoked: number;
  readonly unfinished: number;
  /** SHA-256 of each signed certificate, by serial number; both hexadecimal. */
  readonly bySerial: ReadonlyMap<string, string>;
}

/** Rows between two calls of the progress. */
const progressEvery = 2_000;

export async function checkCertificates(
  inspection: Inspection,
  keys: IssuerKeys,
): Promise<CheckedCertificates> {
  const { snapshot, fault, progress } = inspection;
  const total = number(await firstRow(snapshot, 'SELECT count(*) AS n FROM issuances'), 'n');
  const seen = new UniqueValues(fault);
  const bySerial = new Map<string, string>();
  let unfinished = 0;
  let done = 0;
  for await (const row of snapshot.rows(selectAll)) {
    seen.add('serial number', hex(row, 'serial'));
    if (!isNull(row, 'unit')) checkUnit(row, seen);
    const hash = checkOne(row, keys, fault);
    if (hash === undefined) unfinished += 1;
    else bySerial.set(hex(row, 'serial'), hash);
    done += 1;
    if (done % progressEvery === 0) progress(done, total);
  }
  await checkKeys(inspection, seen);
  const revoked = await checkRevocations(inspection);
  return { signed: bySerial.size, unfinished, bySerial, revoked };
}

const selectAll = `
  SELECT issuances.*, signature, units.id AS unit, family, uid, device_id, eui64, agree_key, state,
         revocations.at_ms AS revoked_ms
  FROM issuances
  LEFT JOIN signatures ON signatures.id = issuances.id
  LEFT JOIN units ON units.id = issuances.id
  LEFT JOIN revocations ON revocations.id = issuances.id
  ORDER BY issuances.id`;

const scrapped = 4;

class UniqueValues {
  readonly #fault: (text: string) => void;
  readonly #seen = new Map<string, Set<string>>();

  constructor(fault: (text: string) => void) {
    this.#fault = fault;
  }

  add(what: string, value: string): void {
    const values = this.#seen.get(what) ?? new Set();
    if (values.has(value)) this.#fault(`the ${what} ${value} is there twice`);
    this.#seen.set(what, values.add(value));
  }
}

function checkUnit(row: Row, seen: UniqueValues): void {
  seen.add('element', `${string(row, 'family')} ${hex(row, 'uid')}`);
  seen.add('device id', string(row, 'device_id'));
  seen.add('EUI-64', hex(row, 'eui64'));
  seen.add('public key', hex(row, 'key_id'));
  if (!isNull(row, 'agree_key')) seen.add('public key', keyIdentifierOf(bytes(row, 'agree_key')));
}

/** Stands where the signature will: r and s of one, which reads in either encoding. */
const unsigned = Uint8Array.of(0x30, 6, 2, 1, 1, 2, 1, 1);

/** SHA-256 of the certificate, hexadecimal; `undefined` while it is not signed. */
function checkOne(row: Row, keys: IssuerKeys, fault: (text: string) => void): string | undefined {
  const name = `serial number ${hex(row, 'serial')}`;
  if (string(row, 'profile').startsWith('lost/'))
    return checkLost(row, (text) => fault(`${name}: ${text}`));
  const signed = !isNull(row, 'signature');
  const tbs = bytes(row, 'tbs');
  let der: Uint8Array;
  try {
    der = completeEither(tbs, signed ? bytes(row, 'signature') : unsigned);
    const { certificate } = parseEitherCertificate(der, decompressPoint);
    checkContent(row, certificate, (text) => fault(`${name}: ${text}`));
  } catch (error) {
    if (!(error instanceof MalformedError || error instanceof UnsupportedError)) throw error;
    fault(`${name}: ${error.message}`);
    return undefined;
  }
  if (number(row, 'state') === scrapped && isNull(row, 'revoked_ms')) {
    fault(`${name}: scrapped and not revoked`);
  }
  if (!signed) return undefined;
  if (!keys.signed(string(row, 'issuer'), tbs, bytes(row, 'signature'))) {
    fault(`${name}: the signature is not that of the ${string(row, 'issuer')} authority`);
  }
  return createHash('sha256').update(der).digest('hex');
}

/** Issued before a restore, and known from the log alone: the entry stands in place of the certificate. */
function checkLost(row: Row, fault: (text: string) => void): string | undefined {
  if (bytes(row, 'signature').length > 0) fault('a signature of a certificate that is not here');
  try {
    const entry = readAuditEntry(bytes(row, 'tbs'));
    if (entry.kind === 'issued' && toHex(entry.serialNumber) === hex(row, 'serial')) {
      return toHex(entry.certificateSha256);
    }
    fault('its entry of the log is of something else');
  } catch (error) {
    if (!(error instanceof MalformedError)) throw error;
    fault(`its entry of the log cannot be read: ${error.message}`);
  }
  return undefined;
}

function checkContent(row: Row, certificate: Certificate, fault: (text: string) => void): void {
  const serial = toHex(certificate.serialNumber).replace(/^00/, '').padStart(32, '0');
  if (serial !== hex(row, 'serial')) fault('another serial number in what is signed');
  if (keyIdentifierOf(certificate.publicKey.key) !== hex(row, 'key_id')) {
    fault('another key in what is signed');
  }
  if (certificate.notAfterMs !== number(row, 'not_after_ms'))
    fault('another end in what is signed');
  if (!isNamed(row, certificate)) fault('another holder in what is signed');
}

/** Devices are named by their number, chips by theirs, everybody else by a common name. */
function isNamed(row: Row, { subject }: Certificate): boolean {
  if (!isNull(row, 'unit')) return namesBirth(subject, string(row, 'device_id'), bytes(row, 'uid'));
  const named = attributeText(subject, 'serialNumber') ?? attributeText(subject, 'commonName');
  return named === string(row, 'holder');
}

/** The table of keys has exactly the keys of the units. */
async function checkKeys({ snapshot, fault }: Inspection, seen: UniqueValues): Promise<void> {
  const units = new Map<number, Set<string>>();
  for await (const row of snapshot.rows('SELECT * FROM unit_keys')) {
    const unit = number(row, 'unit');
    units.set(unit, (units.get(unit) ?? new Set()).add(hex(row, 'key_id')));
    seen.add('registered key', hex(row, 'key_id'));
  }
  const select = `SELECT units.id, key_id, agree_key FROM units JOIN issuances USING (id)`;
  for await (const row of snapshot.rows(select)) {
    const expected = [hex(row, 'key_id')];
    if (!isNull(row, 'agree_key')) expected.push(keyIdentifierOf(bytes(row, 'agree_key')));
    const registered = units.get(number(row, 'id'));
    if (registered?.size !== expected.length || !expected.every((key) => registered.has(key))) {
      fault(`unit ${number(row, 'id')}: its keys are not registered as they are`);
    }
  }
}

async function checkRevocations({ snapshot, fault }: Inspection): Promise<number> {
  const select = `
    SELECT revocations.id, signature FROM revocations LEFT JOIN signatures USING (id)`;
  let revoked = 0;
  for await (const row of snapshot.rows(select)) {
    revoked += 1;
    if (isNull(row, 'signature')) fault(`row ${number(row, 'id')} is revoked and was never signed`);
  }
  return revoked;
}
