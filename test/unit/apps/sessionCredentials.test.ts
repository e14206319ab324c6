/** The server's certificates for sessions: made at the start, renewed, replaced with their keys. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { SessionCredentials } from '../../../src/apps/provisioner/sessionCredentials.ts';
import { KeyFolder } from '../../../src/drivers/keys/software/keyFolder.ts';
import { decompressPoint } from '../../../src/drivers/keys/software/points.ts';
import { EnvironmentError, isRefusal } from '../../../src/trust/ports/faults.ts';
import type { SessionServerRequest } from '../../../src/trust/ports/sessionServerAuthority.ts';
import { equal } from '../../../src/wire/bytes/bytes.ts';
import { parseEitherCertificate } from '../../../src/wire/c509/either.ts';
import { dayMs } from '../../support/issuing/certificateParts.ts';
import { testPki, type TestPki } from '../../support/pki.ts';
import { SessionServerHouse } from '../../support/sessionServers.ts';

async function opened(context: TestContext, house: SessionServerHouse, pki: TestPki) {
  const folder = mkdtempSync(join(tmpdir(), 'birthmark-'));
  context.after(() => rmSync(folder, { recursive: true }));
  const keys = await KeyFolder.open({ folder, passphrase: 'pass', costLog2: 4 });
  let issuer = pki.server.certificate.der;
  const entered: Uint8Array[] = [];
  const options = {
    folder,
    keys,
    authority: house.servers,
    name: 'Owner',
    clock: { nowMs: () => house.nowMs },
    issuer: () => issuer,
    words: { perSecond: 2, burst: 3 },
    enter: async (certificate: Uint8Array) => {
      entered.push(certificate);
    },
  };
  return {
    keys,
    entered,
    open: () => SessionCredentials.open(options),
    rollOver: (to: Uint8Array) => {
      issuer = to;
    },
  };
}

function pointIn(certificate: Uint8Array, form = 'native'): Uint8Array {
  const read = parseEitherCertificate(certificate, decompressPoint);
  assert.equal(read.form, form);
  return read.certificate.publicKey.key;
}

test('a key for each use, certified in both forms, and found again after a restart', async (context) => {
  const pki = testPki();
  const house = new SessionServerHouse(context, pki);
  const { keys, open, entered } = await opened(context, house, pki);
  const first = await open();
  assert.equal(first.chains.agreeing(), undefined);
  assert.equal(await first.refresh(), true);
  assert.deepEqual(await keys.names(), ['session-agree-1', 'session-sign-1']);
  const again = await open();
  assert.equal(await again.refresh(), false);
  const agreeing = again.chains.agreeing();
  const signing = again.chains.signing();
  assert.ok(agreeing && signing);
  const { certificate, x509 } = signing;
  assert.deepEqual(entered, [agreeing.certificate, agreeing.x509, certificate, x509]);
  assert.ok(equal(pointIn(agreeing.x509, 'der'), agreeing.key.publicKey));
  assert.ok(equal(pointIn(x509, 'der'), signing.key.publicKeySpki.subarray(-65)));
  assert.deepEqual(agreeing.certificate, first.chains.agreeing()?.certificate);
  assert.ok(equal(pointIn(agreeing.certificate), agreeing.key.publicKey));
  assert.ok(equal(pointIn(signing.certificate), signing.key.publicKeySpki.subarray(-65)));
  const word = await again.chains.vouch(agreeing.certificate, new Uint8Array(32));
  assert.ok(!isRefusal(word));
});

test('replaced with its key: after two thirds of its life, when revoked, when the floor is another', async (context) => {
  const pki = testPki();
  const house = new SessionServerHouse(context, pki);
  const { keys, open, rollOver } = await opened(context, house, pki);
  const credentials = await open();
  await credentials.refresh();
  const shown = (): Uint8Array => credentials.chains.agreeing()?.certificate ?? new Uint8Array(0);
  const replacedBy = async (): Promise<void> => {
    const before = pointIn(shown());
    assert.equal(await credentials.refresh(), true);
    assert.ok(!equal(pointIn(shown()), before));
    assert.equal((await keys.names()).length, 2);
    assert.equal(await credentials.refresh(), false);
  };
  house.nowMs += 59 * dayMs;
  assert.equal(await credentials.refresh(), false);
  house.nowMs += 2 * dayMs;
  await replacedBy();
  await house.revoke(shown());
  await replacedBy();
  await house.revoke(credentials.chains.agreeing()?.x509 ?? shown());
  await replacedBy();
  assert.ok(!isRefusal(await house.servers.raiseFloor(4)));
  await replacedBy();
  // The authority that issues is another one; this house has one key only, so that it stays so.
  rollOver(testPki().server.certificate.der);
  assert.equal(await credentials.refresh(), true);
});

test('an authority that is away leaves what is there', async (context) => {
  const pki = testPki();
  const house = new SessionServerHouse(context, pki);
  const { open } = await opened(context, house, pki);
  await (await open()).refresh();
  const credentials = await open();
  context.mock.method(house.servers, 'standing', () => Promise.reject(new Error('away')));
  await assert.rejects(credentials.refresh(), /away/);
  assert.ok(credentials.chains.agreeing() && credentials.chains.signing());
});

test('an authority that gives one kind alone is asked for it once, and no key piles up', async (context) => {
  const pki = testPki();
  const house = new SessionServerHouse(context, pki);
  const { keys, open, entered } = await opened(context, house, pki);
  const credentials = await open();
  const issue = house.servers.issueSessionServer.bind(house.servers);
  const without = async (request: SessionServerRequest) => {
    if (request.challenge === undefined) throw new Error('away');
    return issue(request);
  };
  const mocked = context.mock.method(house.servers, 'issueSessionServer', without);
  for (let round = 0; round < 3; round++) await assert.rejects(credentials.refresh(), /away/);
  assert.equal(entered.length, 2);
  assert.deepEqual(await keys.names(), ['session-agree-1']);
  assert.ok(credentials.chains.agreeing());
  mocked.mock.restore();
  assert.equal(await (await open()).refresh(), true);
  assert.deepEqual(await keys.names(), ['session-agree-1', 'session-sign-1']);
});

test('however many ask, the authority is asked for a bounded number of words', async (context) => {
  const pki = testPki();
  const house = new SessionServerHouse(context, pki);
  const { open } = await opened(context, house, pki);
  const credentials = await open();
  await credentials.refresh();
  const certificate = credentials.chains.agreeing()?.certificate;
  assert.ok(certificate);
  const { mock } = context.mock.method(house.servers, 'vouch');
  const flood = async (): Promise<void> => {
    for (let count = 0; count < 10; count++) {
      const word = credentials.chains.vouch(certificate, new Uint8Array(32).fill(count));
      const refusal = await word.then(() => undefined).catch((error: unknown) => error);
      assert.ok(refusal === undefined || refusal instanceof EnvironmentError);
    }
  };
  await flood();
  assert.equal(mock.callCount(), 3);
  house.nowMs += 1_000;
  await flood();
  assert.equal(mock.callCount(), 5);
});
