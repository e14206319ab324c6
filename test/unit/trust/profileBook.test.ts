/** Profiles as data: schema, versions, and what a certificate remembers of them. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import fc from 'fast-check';
import { readProfile, readStoredProfile } from '../../../src/apps/authority/profileDocument.ts';
import { nodeCrypto } from '../../../src/drivers/keys/software/nodeCrypto.ts';
import { SqliteAuditStore } from '../../../src/drivers/store/sqlite/auditStore.ts';
import { SqliteIssuanceStore } from '../../../src/drivers/store/sqlite/issuanceStore.ts';
import { SqliteProfileStore } from '../../../src/drivers/store/sqlite/profileStore.ts';
import { readAuditEntry } from '../../../src/trust/audit/entry.ts';
import { Issuance } from '../../../src/trust/issuance/issuance.ts';
import { faultsOfProfile, type Profile } from '../../../src/trust/issuance/profile.ts';
import { ProfileBook, profileText } from '../../../src/trust/issuance/profileBook.ts';
import { builtInProfiles, deviceProfiles } from '../../../src/trust/issuance/profiles.ts';
import { EnvironmentError, isRefusal } from '../../../src/trust/ports/faults.ts';
import { toHex } from '../../../src/wire/bytes/hex.ts';
import { alone } from '../../support/alone.ts';
import { startMs, testSigner, World } from '../../support/issuing/world.ts';

const add = async (book: ProfileBook, profile: Profile) =>
  book.add(profile, await alone('profile.change', book.requestFor(profile)));

const ldevid = builtIn('ldevid');
const meter: Profile = { ...ldevid, name: 'meter', lifetime: { kind: 'days', days: 30 } };

function builtIn(name: string): Profile {
  const found = builtInProfiles.get(name);
  assert.ok(found);
  return found;
}

async function open(
  context: TestContext,
  profiles: ReadonlyMap<string, Profile> = builtInProfiles,
) {
  const world = await World.create(context);
  const { database } = world.open();
  const store = new SqliteProfileStore(database);
  const shared = { store, crypto: nodeCrypto, clock: world.clock, read: readStoredProfile };
  const again = (builtIns = profiles): Promise<ProfileBook> =>
    ProfileBook.open({ ...shared, builtIn: builtIns });
  return { world, database, store, again, book: await again() };
}

test('what comes with Birthmark is sound by the schema, and written down once', async (context) => {
  const { database, store, again, book } = await open(context);
  for (const profile of builtInProfiles.values()) {
    const text = profileText(profile);
    assert.equal(profileText(readStoredProfile(text)), text);
  }
  assert.equal((await store.profiles()).length, builtInProfiles.size);
  assert.deepEqual(new Set(book.devices), deviceProfiles(builtInProfiles));
  const audit = new SqliteAuditStore(database);
  const leaves = await audit.countLeaves();
  assert.deepEqual((await again()).views(), book.views());
  assert.equal(await audit.countLeaves(), leaves);
});

test('a profile that changed without a new version stops the authority', async (context) => {
  const { again } = await open(context);
  const changed = new Map(builtInProfiles).set('ldevid', {
    ...ldevid,
    lifetime: { kind: 'days', days: 400 },
  });
  await assert.rejects(again(changed), EnvironmentError);
  // With one, the former version stays beside it.
  const next = new Map(builtInProfiles).set('ldevid', { ...ldevid, version: 2 });
  const views = (await again(next)).views().filter(({ name }) => name === 'ldevid');
  assert.deepEqual(
    views.map(({ version, former, builtIn: own }) => [version, former, own]),
    [
      [1, true, true],
      [2, false, true],
    ],
  );
});

const permitting: Profile = { ...builtIn('issuing-server'), name: 'authority-mine' };

test('a profile is added version by version, with a leaf that has its hash', async (context) => {
  const { database, book, again } = await open(context);
  const added = await add(book, meter);
  assert.ok(!isRefusal(added));
  assert.equal(toHex(added.sha256), toHex(nodeCrypto.hash('SHA-256', Buffer.from(added.text))));
  const audit = new SqliteAuditStore(database);
  const last = (await audit.countLeaves()) - 1;
  const [entry = new Uint8Array(0)] = await audit.leaves(last, 1);
  assert.deepEqual(readAuditEntry(entry), {
    kind: 'decision',
    atMs: startMs,
    act: 'profile',
    subject: 'meter@1',
    detail: toHex(added.sha256),
  });
  for (const [profile, refused] of [
    [meter, 'version-not-next'],
    [{ ...meter, version: 3 }, 'version-not-next'],
    [{ ...meter, name: 'other', version: 2 }, 'version-not-next'],
    [{ ...ldevid, version: 2 }, 'built-in'],
    [{ ...meter, version: 2, keyUsage: [] }, 'invalid-profile'],
    [{ ...builtIn('issuing'), name: 'authority-mine', issuedBy: ['factory'] }, 'invalid-profile'],
    [
      { ...builtIn('issuing'), name: 'authority-mine', issuedBy: ['root', 'self'] },
      'invalid-profile',
    ],
    [{ ...builtIn('link-factory'), name: 'authority-mine', issuedBy: ['root'] }, 'invalid-profile'],
    [{ ...meter, name: 'link-mine' }, 'invalid-profile'],
    [{ ...meter, name: 'authority-mine' }, 'invalid-profile'],
    [{ ...permitting, name: 'mine' }, 'invalid-profile'],
    [{ ...permitting, authority: { excludesHosts: true, permits: ['a'] } }, 'invalid-profile'],
    [{ ...permitting, authority: { excludesHosts: false, permits: [] } }, 'invalid-profile'],
    [
      { ...permitting, authority: { excludesHosts: false, permits: ['10.0.0.1/8'] } },
      'invalid-profile',
    ],
    [{ ...permitting, authority: { excludesHosts: false, permits: ['*.a'] } }, 'invalid-profile'],
    [{ ...permitting, authority: { excludesHosts: false, organization: '' } }, 'invalid-profile'],
  ] as const) {
    const outcome = await add(book, profile);
    assert.equal(isRefusal(outcome) && outcome.refused, refused);
  }
  const approved = await alone('profile.change', book.requestFor(meter));
  const switched = await book.add({ ...meter, version: 2 }, approved);
  assert.equal(isRefusal(switched) && switched.refused, 'other-bytes');
  const second = { ...meter, version: 2, lifetime: { kind: 'days', days: 10 } } as const;
  assert.ok(!isRefusal(await add(book, second)));
  assert.ok(!isRefusal(await add(book, permitting)));
  assert.ok(book.devices.has('meter'));
  const reopened = await again();
  assert.deepEqual(reopened.views(), book.views());
  assert.deepEqual(reopened.current.get('meter'), second);
  assert.deepEqual(reopened.labelled.get('meter@1'), meter);
});

test('another process was first, or has used the approval: the book stays as it was', async (context) => {
  for (const outcome of ['taken', 'approval-spent'] as const) {
    const { book, store } = await open(context);
    store.addProfile = async () => outcome;
    const before = book.views();
    const refused = await add(book, meter);
    assert.equal(isRefusal(refused) && refused.refused, outcome);
    assert.deepEqual(book.views(), before);
    assert.ok(!book.devices.has('meter'));
  }
});

test('a certificate remembers its version, and what waits is signed as that version', async (context) => {
  const { world, database, book } = await open(context);
  const store = new SqliteIssuanceStore(database);
  let isAway = false;
  const issuers = world.issuers.map((issuer) => ({
    ...issuer,
    signer: {
      ...issuer.signer,
      sign: (data: Uint8Array) =>
        isAway ? Promise.reject(new Error('the key is away')) : issuer.signer.sign(data),
    },
  }));
  const issuance = new Issuance({
    store,
    crypto: nodeCrypto,
    clock: world.clock,
    profiles: book.current,
    labelled: book.labelled,
    issuers,
  });
  const request = () => ({
    profile: 'meter',
    content: { spki: testSigner().publicKeySpki, name: '0123456789abcdef' },
  });
  const [unknown] = await issuance.issue([request()]);
  assert.ok(unknown && isRefusal(unknown) && unknown.refused === 'unknown-profile');
  await add(book, meter);
  isAway = true;
  await assert.rejects(issuance.issue([request()]), /away/);
  await add(book, { ...meter, version: 2, lifetime: { kind: 'days', days: 10 } });
  isAway = false;
  assert.deepEqual(await issuance.recover(), { finished: 1, withheld: [] });
  await issuance.issue([request()]);
  const lives = (await store.certificatesOf('0123456789abcdef')).map((issued) => [
    issued.profile,
    Math.round((issued.notAfterMs - startMs) / 86_400_000),
  ]);
  assert.deepEqual(lives, [
    ['meter@1', 30],
    ['meter@2', 10],
  ]);
});

test('a stored profile that is not what was stored stops the authority', async (context) => {
  const { database, again } = await open(context);
  await database.transact((connection) => {
    connection
      .prepare(`UPDATE profiles SET document = replace(document, '365', '999') WHERE name = ?`)
      .run('ldevid');
  });
  await assert.rejects(again(), /ldevid@1 is not what was stored/);
});

test('the schema names each fault and its place', () => {
  const sound = JSON.parse(profileText(meter)) as Record<string, unknown>;
  assert.deepEqual(readProfile({ $schema: 'profile.schema.json', ...sound }), meter);
  for (const [change, fault] of [
    [{ name: 'Meter' }, /\/name must match/],
    [{ version: '1' }, /\/version must be integer/],
    [{ issuedBy: ['nobody'] }, /\/issuedBy\/0 must be equal to one of.*operational/],
    [{ lifetime: { kind: 'days' } }, /\/lifetime must have required property 'days'/],
    [{ lifetime: { kind: 'days', days: 0 } }, /\/lifetime\/days must be >= 1/],
    [{ keyPurposes: ['clientAuth'] }, /\/keyPurposes\/0 must match/],
    [{ colour: 'red' }, /the profile must NOT have additional properties: colour/],
    [{ matter: { vendorId: 'fff1' } }, /\/matter\/vendorId must match/],
    [{ subject: undefined }, /required property 'subject'/],
  ] as const) {
    const document: unknown = JSON.parse(JSON.stringify({ ...sound, ...change }));
    const outcome = readProfile(document);
    assert.ok(isRefusal(outcome));
    assert.match(outcome.reason, fault);
  }
  for (const document of [null, [], 'meter', 7, {}]) assert.ok(isRefusal(readProfile(document)));
});

test('whatever passes the schema can be judged, and survives its own text', () => {
  const texts = [...builtInProfiles.values()].map(profileText);
  const documents = texts.map((text) => JSON.parse(text) as Record<string, unknown>);
  const member = fc.constantFrom(...documents.flatMap((one) => Object.entries(one)));
  fc.assert(
    fc.property(
      fc.constantFrom(...documents),
      fc.array(member, { maxLength: 3 }),
      (one, others) => {
        const profile = readProfile({ ...one, ...Object.fromEntries(others) });
        if (isRefusal(profile)) return;
        assert.ok(Array.isArray(faultsOfProfile(profile)));
        assert.deepEqual(readStoredProfile(profileText(profile)), profile);
      },
    ),
    { numRuns: 500 },
  );
});

test('no profile makes a server of a device, or a responder of anybody', () => {
  const purposes = (...keyPurposes: string[]) => faultsOfProfile({ ...meter, keyPurposes }).join();
  assert.match(purposes('1.3.6.1.5.5.7.3.1'), /without the names of its hosts/);
  assert.match(purposes('1.3.6.1.5.5.7.3.9'), /responders/);
  assert.match(purposes('2.5.29.37.0'), /every door/);
});

test('a version whose text a restore has lost stands for no other text', async (context) => {
  const { store, again } = await open(context);
  const sha256 = nodeCrypto.hash('SHA-256', Buffer.from('of before'));
  const record = { name: 'meter', version: 1, sha256, text: '', addedMs: startMs };
  assert.equal(await store.addProfile(record, Uint8Array.of(0)), 'added');
  const book = await again();
  assert.equal(book.labelled.get('meter@1'), undefined);
  const refused = await add(book, meter);
  assert.ok(isRefusal(refused) && /next version of meter is 2/.test(refused.reason));
  assert.ok(!isRefusal(await add(book, { ...meter, version: 2 })));
});
