/**
 * Revocations against the lists that tell them: each is on the newest list of its issuer's key, none is there
 * that was not recorded, and every list is what was logged and is signed by that key.
 */
import { createHash } from 'node:crypto';
import { toHex } from '../../wire/bytes/hex.ts';
import { MalformedError } from '../../wire/bytes/malformed.ts';
import {
  type CertificateList,
  parseCertificateList,
  type RevokedEntry,
  revokedEntries,
} from '../../wire/crl/certificateList.ts';
import { revocationReasons } from '../../wire/crl/reason.ts';
import type { Inspection, Row } from './fsck.ts';
import type { IssuerKeys } from './issuerKeys.ts';
import type { StatusTrail } from './statusTrail.ts';
import { bytes, hex, isNull, number, string } from './values.ts';

/** Returns the number of lists that were signed. */
export async function checkStatus(
  inspection: Inspection,
  keys: IssuerKeys,
  trail: StatusTrail,
): Promise<number> {
  const { snapshot, fault } = inspection;
  let signed = 0;
  // One list after the other: only the entries of one are held at a time.
  for await (const row of snapshot.rows(selectLists)) {
    const list = new CheckedList(row, keys, trail, fault);
    if (!isNull(row, 'der')) signed += 1;
    for await (const entry of snapshot.rows(selectEntries, number(row, 'id'))) list.entry(entry);
    list.close();
  }
  for await (const row of snapshot.rows(selectUnlisted)) {
    fault(`serial number ${hex(row, 'serial')}: revoked, and of no list`);
  }
  return signed;
}

const selectLists = `
  SELECT lists.id, authority, shard, shards, revision, listed_revision, lists.number AS taken,
         signed_lists.number, this_update_ms, next_update_ms, entries, der
  FROM lists JOIN authorities ON authorities.name = authority
  LEFT JOIN signed_lists ON signed_lists.list = lists.id
  ORDER BY lists.id`;

const selectEntries = `
  SELECT serial, issuer, issuances.not_after_ms, list_entries.not_after_ms AS listed_end_ms,
         code, list_entries.at_ms, listed, revocations.id AS revocation
  FROM list_entries
  JOIN issuances ON issuances.id = certificate
  LEFT JOIN revocations ON revocations.id = certificate
  WHERE list = $1`;

const selectUnlisted = `
  SELECT serial FROM revocations JOIN issuances USING (id)
  LEFT JOIN list_entries ON certificate = revocations.id
  WHERE certificate IS NULL`;

class CheckedList {
  readonly #row: Row;
  readonly #keys: IssuerKeys;
  readonly #trail: StatusTrail;
  readonly #fault: (text: string) => void;
  readonly #list: CertificateList | undefined;
  /** Not met among the rows yet, by serial number in hexadecimal. */
  readonly #entries: Map<string, RevokedEntry>;

  constructor(row: Row, keys: IssuerKeys, trail: StatusTrail, fault: (text: string) => void) {
    this.#row = row;
    this.#keys = keys;
    this.#trail = trail;
    const name = `list ${number(row, 'shard')} of ${string(row, 'authority')}`;
    this.#fault = (text) => fault(`${name}: ${text}`);
    this.#list = isNull(row, 'der') ? undefined : this.#read(bytes(row, 'der'));
    this.#entries = new Map(
      this.#list && [...revokedEntries(this.#list)].map((one) => [serialOf(one), one]),
    );
    if (this.#list !== undefined) this.#checkSigned(this.#list);
  }

  /** A change that is recorded as belonging to this list. */
  entry(row: Row): void {
    const serial = hex(row, 'serial');
    const fault = (text: string): void => this.#fault(`serial number ${serial}: ${text}`);
    this.#checkPlace(row, fault);
    const isHeld = number(row, 'code') === revocationReasons.certificateHold;
    const isRevoked = !isNull(row, 'code') && !isHeld;
    if (isRevoked && isNull(row, 'revocation')) fault('listed and not revoked');
    if (!isRevoked && !isNull(row, 'revocation')) fault('revoked, and its list does not know');
    if (!this.#trail.isLogged(serial)) fault('its status changed and the log does not say so');
    const shown = this.#entries.get(serial);
    this.#entries.delete(serial);
    if (this.#isBehind(serial) || this.#list === undefined) return;
    if (number(row, 'listed') === 1) this.#checkShown(row, shown, fault);
    else this.#checkLeftOff(row, this.#list, fault);
  }

  /** After the last entry. What a root on another machine revoked is recorded there. */
  close(): void {
    if (this.#isImported()) return;
    for (const serial of this.#entries.keys()) {
      this.#fault(`serial number ${serial}: on the list, and nothing is recorded of it`);
    }
  }

  #read(der: Uint8Array): CertificateList | undefined {
    try {
      return parseCertificateList(der);
    } catch (error) {
      if (!(error instanceof MalformedError)) throw error;
      this.#fault(error.message);
      return undefined;
    }
  }

  #checkSigned({ tbsCertList, signature, ...list }: CertificateList): void {
    const row = this.#row;
    const authority = string(row, 'authority');
    if (!this.#keys.signed(authority, tbsCertList, signature)) {
      this.#fault(`the signature is not that of the ${authority} authority`);
    }
    const own = number(row, 'number');
    const says = Number.parseInt(toHex(list.crlNumber ?? new Uint8Array(0)), 16);
    const isTaken = this.#isImported() || own <= number(row, 'taken');
    if (says !== own || !isTaken) this.#fault(`number ${says} was not taken`);
    if (
      list.thisUpdateMs !== number(row, 'this_update_ms') ||
      list.nextUpdateMs !== number(row, 'next_update_ms') ||
      this.#entries.size !== number(row, 'entries')
    ) {
      this.#fault('times or entries are not those that were recorded');
    }
    const issuer = this.#keys.identifierOf(authority) ?? '';
    const logged = this.#trail.list(issuer, number(row, 'shard'));
    const sha256 = createHash('sha256').update(bytes(row, 'der')).digest('hex');
    if (logged?.number !== own || logged.sha256 !== sha256)
      this.#fault('is not what was logged last');
  }

  /** Signed elsewhere, and given its number there. */
  #isImported(): boolean {
    return number(this.#row, 'taken') === 0;
  }

  #checkPlace(row: Row, fault: (text: string) => void): void {
    if (string(row, 'issuer') !== string(this.#row, 'authority')) fault('issued by another key');
    // The shard is chosen by the low bits, and every number of shards divides 2^16.
    const low = Number.parseInt(hex(row, 'serial').slice(-4), 16);
    if (low % number(this.#row, 'shards') !== number(this.#row, 'shard')) fault('of another shard');
    if (number(row, 'listed_end_ms') !== number(row, 'not_after_ms'))
      fault('listed with another end');
  }

  /** A newer list is due, and not overdue. */
  #isBehind(serial: string): boolean {
    if (number(this.#row, 'revision') <= number(this.#row, 'listed_revision')) return false;
    const issuer = this.#keys.identifierOf(string(this.#row, 'authority')) ?? '';
    return !this.#trail.isLate(serial, issuer);
  }

  #checkShown(row: Row, shown: RevokedEntry | undefined, fault: (text: string) => void): void {
    if (shown === undefined) {
      fault('revoked, and not on the list');
      return;
    }
    const isSame =
      shown.revokedAtMs === Math.floor(number(row, 'at_ms') / 1000) * 1000 &&
      revocationReasons[shown.reason ?? 'unspecified'] === number(row, 'code');
    if (!isSame) fault('on the list with another time or reason');
  }

  /** RFC 5280 §3.3: once expired, it was to be seen on one regular list more. */
  #checkLeftOff(row: Row, { thisUpdateMs }: CertificateList, fault: (text: string) => void): void {
    if (isNull(row, 'code') || number(row, 'not_after_ms') < thisUpdateMs) return;
    fault('revoked, and taken off the list before its end');
  }
}

function serialOf({ serialNumber }: RevokedEntry): string {
  return toHex(serialNumber).padStart(32, '0');
}
