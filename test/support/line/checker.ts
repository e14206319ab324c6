/**
 * The independent judge: reads the authority's ledger, every element anew and the journal, and says
 * whether each element has exactly one identity, none is there twice, and the quota was kept. It knows
 * nothing of how the station works.
 */
import assert from 'node:assert/strict';
import { verify } from 'node:crypto';
import type { ElementFolder } from '../../../src/drivers/elements/software/elementFolder.ts';
import { toHex } from '../../../src/wire/bytes/hex.ts';
import { fromUtf8 } from '../../../src/wire/bytes/utf8.ts';
import { parseCertificate } from '../../../src/wire/x509/certificate.ts';
import { keyOf } from '../../contract/elementContract.ts';
import type { LedgerEntry } from './testAuthority.ts';

export interface LineWorld {
  readonly ledger: ReadonlyMap<string, LedgerEntry>;
  readonly quota: number;
  readonly folder: ElementFolder;
}

export interface LineFindings {
  readonly issued: number;
  readonly lockedElements: number;
  readonly released: number;
  readonly scrapped: number;
  /** Issued and neither released nor scrapped. */
  readonly open: number;
}

/** Holds at every moment, also in the middle of a run. */
export async function checkAlways(world: LineWorld): Promise<LineFindings> {
  const entries = [...world.ledger.values()];
  assert.ok(entries.length <= world.quota, `${entries.length} identities of ${world.quota}`);
  for (const property of [
    (entry: LedgerEntry) => toHex(entry.uid),
    (entry: LedgerEntry) => toHex(entry.signKey),
    (entry: LedgerEntry) => entry.deviceId,
    (entry: LedgerEntry) => toHex(entry.eui64),
    (entry: LedgerEntry) => toHex(parseCertificate(entry.certificate).serialNumber),
  ]) {
    assert.equal(new Set(entries.map(property)).size, entries.length, 'made twice');
  }
  let lockedElements = 0;
  for (const name of await world.folder.names()) {
    if (await checkElement(world, name)) lockedElements += 1;
  }
  const count = (outcome: string): number =>
    entries.filter((entry) => entry.outcome === outcome).length;
  const [released, scrapped] = [count('locked'), count('scrapped')];
  assert.ok(lockedElements >= released, 'released, but not locked');
  const open = entries.length - released - scrapped;
  return { issued: entries.length, lockedElements, released, scrapped, open };
}

/** Holds when a station was allowed to finish. */
export async function checkFinished(world: LineWorld): Promise<LineFindings> {
  const findings = await checkAlways(world);
  assert.equal(findings.open, 0, 'issued = verified + scrapped');
  assert.equal(findings.lockedElements, findings.released);
  return findings;
}

/** An element that carries an identity carries that of the ledger; true when it is locked. */
async function checkElement({ ledger, folder }: LineWorld, name: string): Promise<boolean> {
  const element = await folder.open(name);
  const entry = ledger.get(toHex(element.identity.uid));
  const locked = (await element.lifecycle()) === 'locked';
  const [certificate] = (await element.readCertificate('idevid')) ?? [];
  if (certificate === undefined) {
    assert.ok(!locked, `${name} is locked without an identity`);
    return false;
  }
  assert.ok(entry !== undefined, `${name} has an identity that nobody issued`);
  assert.deepEqual(certificate, entry.certificate, `${name} has another identity`);
  if (!locked) return false;
  assert.deepEqual(await element.readData('eui64'), entry.eui64);
  const deviceId = await element.readData('device-id');
  assert.equal(deviceId && fromUtf8(deviceId), entry.deviceId);
  assert.deepEqual(await element.publicKey('agree'), entry.agreeKey);
  const challenge = Uint8Array.of(1, 2, 3);
  const signature = await element.sign('sign', challenge);
  assert.ok(verify('sha256', challenge, keyOf(entry.signKey), signature), `${name}: another key`);
  return true;
}
