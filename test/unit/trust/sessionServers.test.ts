/** Credentials of session servers: proof, generation, floor, and the word about one of them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nodeCrypto } from '../../../src/drivers/keys/software/nodeCrypto.ts';
import { decompressPoint } from '../../../src/drivers/keys/software/points.ts';
import { readAuditEntry } from '../../../src/trust/audit/entry.ts';
import {
  GenerationCounter,
  generationsAfterRestore,
  generationsSetting,
  maximumSessionServers,
} from '../../../src/trust/issuance/serverGenerations.ts';
import { isRefusal } from '../../../src/trust/ports/faults.ts';
import type { KeyAgreement } from '../../../src/trust/ports/keys.ts';
import { requestCredential } from '../../../src/trust/sessions/credentialRequest.ts';
import { parseEitherCertificate } from '../../../src/wire/c509/either.ts';
import { parseStatus, verifyStatus } from '../../../src/wire/edhoc/serverStatus.ts';
import { decodeKeyUsage, extensionOids, findExtension } from '../../../src/wire/x509/extensions.ts';
import {
  decodeServerGeneration,
  exampleGenerationOid,
  type ServerGeneration,
} from '../../../src/wire/x509/serverGeneration.ts';
import { maximumGeneration } from '../../../src/wire/x509/serverGeneration.ts';
import { dayMs } from '../../support/issuing/certificateParts.ts';
import { testKey, testPki } from '../../support/pki.ts';
import { SessionServerHouse, signerOf, testAgreement } from '../../support/sessionServers.ts';

const pki = testPki();

function generationOf(certificate: Uint8Array): ServerGeneration {
  const read = parseEitherCertificate(certificate, decompressPoint).certificate;
  const found = findExtension(read.extensions, exampleGenerationOid);
  assert.ok(found);
  return decodeServerGeneration(found.value);
}

function usesOf(certificate: Uint8Array): readonly string[] {
  const read = parseEitherCertificate(certificate, decompressPoint).certificate;
  const found = findExtension(read.extensions, extensionOids.keyUsage);
  return [...decodeKeyUsage(found?.value ?? new Uint8Array(0))];
}

test('either key is certified for what it proved, in either form, for 90 days', async (context) => {
  const house = new SessionServerHouse(context, pki);
  for (const form of ['native', 'der'] as const) {
    const agreeing = await house.credential(testAgreement(), { form });
    const signing = await house.credential(signerOf(testKey()), { form });
    assert.deepEqual(usesOf(agreeing.certificate), ['keyAgreement']);
    assert.deepEqual(usesOf(signing.certificate), ['digitalSignature']);
    const read = parseEitherCertificate(signing.certificate, decompressPoint);
    assert.equal(read.form, form);
    assert.equal(read.certificate.notAfterMs, Math.floor(house.nowMs / 1000) * 1000 + 90 * dayMs);
  }
  const { credentials, ...present } = await house.servers.generations();
  assert.deepEqual(present, { floor: 0, servers: [{ name: 'Owner', generation: 4 }] });
  assert.deepEqual(
    credentials.map(({ profile, generation }) => [profile, generation]),
    [
      ['session-server@1', 1],
      ['session-signer@1', 2],
      ['session-server@1', 3],
      ['session-signer@1', 4],
    ],
  );
});

test('generations are counted for each name, from the floor on; the floor goes up only', async (context) => {
  const world = new SessionServerHouse(context, pki);
  const first = await world.credential(testAgreement());
  await world.credential(testAgreement());
  const third = await world.credential(testAgreement());
  assert.deepEqual([first.generation, third.generation], [1, 3]);
  const above = await world.servers.raiseFloor(4);
  assert.ok(isRefusal(above));
  assert.ok(!isRefusal(await world.servers.raiseFloor(3)));
  assert.ok(isRefusal(await world.servers.raiseFloor(2)));
  const { floor, statusKey, generation } = generationOf(
    (await world.credential(testAgreement())).certificate,
  );
  assert.deepEqual([generation, floor, statusKey?.length], [4, 3, 33]);
  // Devices know one floor for all servers of an authority: a new one does not begin below it.
  const other = await world.credential(testAgreement(), { name: 'Other' });
  assert.deepEqual([other.generation, other.floor], [3, 3]);
  const leaves = await world.stores.audit.leaves(0, 100);
  const decisions = leaves.map(readAuditEntry).filter(({ kind }) => kind === 'decision');
  assert.equal(decisions.length, 1);
  assert.partialDeepStrictEqual(decisions, [{ act: 'server-floor', detail: 'from 0 to 3' }]);
});

test('after a restore every server goes on above whatever a device can have seen', async (context) => {
  const world = new SessionServerHouse(context, pki);
  const { orders } = world.stores;
  const backup = async (): Promise<void> => {
    const stored = await orders.setting(generationsSetting);
    await orders.saveSetting(generationsSetting, generationsAfterRestore(stored));
  };
  await backup();
  const first = await world.credential(testAgreement());
  assert.deepEqual([first.generation, first.floor], [2 ** 20, 2 ** 20]);
  await world.credential(testAgreement());
  await backup();
  const known = await world.credential(testAgreement());
  const unknown = await world.credential(testAgreement(), { name: 'Newer than the backup' });
  const floor = 2 ** 21 + 1;
  assert.deepEqual([known.generation, unknown.generation, known.floor], [floor, floor, floor]);
  assert.equal((await world.servers.standing(first.certificate)).counts, false);
});

test('who does not prove the key gets nothing', async (context) => {
  const house = new SessionServerHouse(context, pki);
  const other = testAgreement();
  const agreement = testAgreement();
  const ask = (key: KeyAgreement, change: (request: Uint8Array) => Uint8Array = (one) => one) =>
    requestCredential(
      {
        crypto: nodeCrypto,
        authority: {
          ...unbound(house),
          issueSessionServer: (asked) =>
            house.servers.issueSessionServer({ ...asked, request: change(asked.request) }),
        },
        issuerName: house.issuer.subject,
        name: 'Owner',
        form: 'native',
      },
      key,
    );
  const refusedAs = async (outcome: ReturnType<typeof ask>): Promise<string> => {
    const refusal = await outcome;
    return isRefusal(refusal) ? refusal.refused : 'issued';
  };
  const foreign = { ...agreement, agree: (peer: Uint8Array) => other.agree(peer) };
  assert.equal(await refusedAs(ask(foreign)), 'bad-proof');
  const flipped = (request: Uint8Array): Uint8Array =>
    request.map((byte, index) => (index === request.length - 1 ? byte ^ 1 : byte));
  assert.equal(await refusedAs(ask(agreement, flipped)), 'bad-proof');
  assert.equal(await refusedAs(ask(agreement, () => Uint8Array.of(0x87))), 'malformed-request');
  assert.equal(await refusedAs(ask(agreement)), 'issued');
  // A challenge is good for one proof, and for a minute.
  const challenge = await house.servers.openProof();
  house.nowMs += 60_001;
  const late = { ...unbound(house), openProof: () => Promise.resolve(challenge) };
  const shared = { crypto: nodeCrypto, issuerName: house.issuer.subject, form: 'native' } as const;
  const asked = requestCredential({ ...shared, authority: late, name: 'Owner' }, agreement);
  assert.equal(await refusedAs(asked), 'bad-proof');
  // One key, one name; and nobody is called like a device.
  for (const [name, refused] of [
    ['Other', 'key-taken'],
    ['0123456789abcdef', 'rejected'],
    ['', 'rejected'],
  ] as const) {
    const authority = unbound(house);
    const outcome = requestCredential({ ...shared, authority, name }, agreement);
    assert.equal(await refusedAs(outcome), refused);
  }
});

function unbound({ servers }: SessionServerHouse) {
  return {
    openProof: () => servers.openProof(),
    issueSessionServer: servers.issueSessionServer.bind(servers),
    standing: servers.standing.bind(servers),
    vouch: servers.vouch.bind(servers),
  };
}

test('a word is for one message_1 and one credential, and for what counts alone', async (context) => {
  const house = new SessionServerHouse(context, pki);
  const { certificate } = await house.credential(testAgreement());
  const newer = await house.credential(testAgreement());
  const hashOfMessage1 = nodeCrypto.hash('SHA-256', Uint8Array.of(1));
  const word = await house.servers.vouch(certificate, hashOfMessage1);
  assert.ok(!isRefusal(word));
  const status = parseStatus(word);
  assert.equal(status.timeS, Math.floor(house.nowMs / 1000));
  const key = nodeCrypto.importPublicKey(
    'P-256',
    generationOf(certificate).statusKey ?? new Uint8Array(0),
  );
  assert.ok(key);
  const hash = (bytes: Uint8Array): Uint8Array => nodeCrypto.hash('SHA-256', bytes);
  const about = (cred: Uint8Array, message1: number) =>
    verifyStatus(nodeCrypto, key, status, {
      hashOfMessage1: hash(Uint8Array.of(message1)),
      certificateSha256: hash(cred),
    });
  assert.equal(about(certificate, 1), true);
  assert.equal(about(certificate, 2), false);
  assert.equal(about(newer.certificate, 1), false);
  const refuses = async (shown: Uint8Array, given = hashOfMessage1): Promise<void> => {
    assert.ok(isRefusal(await house.servers.vouch(shown, given)));
  };
  await refuses(certificate, new Uint8Array(31));
  // Another certificate with that serial number, and what is none.
  await refuses(
    certificate.map((byte, index) => (index === certificate.length - 1 ? byte ^ 1 : byte)),
  );
  await refuses(Uint8Array.of(1, 2, 3));
  await refuses(pki.server.certificate.der);
  // Below the floor, revoked, at its end.
  await house.servers.raiseFloor(2);
  await refuses(certificate);
  assert.deepEqual(await house.servers.standing(newer.certificate), { floor: 2, counts: true });
  await house.revoke(newer.certificate);
  await refuses(newer.certificate);
  const last = await house.credential(testAgreement());
  house.nowMs += 91 * dayMs;
  await refuses(last.certificate);
});

test('session servers are bounded in number', async () => {
  const settings = new Map<string, Uint8Array>();
  const store = {
    setting: (name: string) => Promise.resolve(settings.get(name)),
    saveSetting: (name: string, value: Uint8Array) => {
      settings.set(name, value);
      return Promise.resolve();
    },
  };
  const counter = new GenerationCounter(store, { nowMs: () => 0 });
  for (let count = 0; count < maximumSessionServers; count += 1) {
    assert.ok(!isRefusal(await counter.take(`server ${count}`)));
  }
  const refusal = await counter.take('one more');
  assert.equal(isRefusal(refusal) && refusal.refused, 'rejected');
  assert.deepEqual(await counter.take('server 3'), { generation: 2, floor: 0 });
  // Never beyond what a certificate can say.
  for (let restores = 0; restores <= 4096; restores += 1) {
    settings.set(generationsSetting, generationsAfterRestore(settings.get(generationsSetting)));
  }
  const last = { generation: maximumGeneration, floor: maximumGeneration };
  for (const name of ['server 5', 'server 6']) {
    assert.deepEqual(await counter.take(name), last);
    assert.ok(isRefusal(await counter.take(name)));
  }
  settings.clear();
  await counter.take('server 5');
  // Asked at once, each gets another one.
  const taken = await Promise.all([1, 2, 3].map(() => counter.take('server 5')));
  assert.deepEqual(
    taken.map((one) => (isRefusal(one) ? one : one.generation)),
    [2, 3, 4],
  );
});
