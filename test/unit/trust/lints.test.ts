import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { nodeCrypto } from '../../../src/drivers/keys/software/nodeCrypto.ts';
import { issuerFrom } from '../../../src/trust/issuance/issuer.ts';
import { findings, lint, LintedTbs } from '../../../src/trust/issuance/lint.ts';
import { rules } from '../../../src/trust/issuance/lints/rules.ts';
import { Siblings } from '../../../src/trust/issuance/lints/siblings.ts';
import { compileProfile } from '../../../src/trust/issuance/prepare.ts';
import { checkedProfiles, faultsOfProfile } from '../../../src/trust/issuance/profile.ts';
import { concat } from '../../../src/wire/bytes/bytes.ts';
import { fromHex } from '../../../src/wire/bytes/hex.ts';
import { encodeSignatureAlgorithm } from '../../../src/wire/x509/algorithms.ts';
import { encodeCertificate } from '../../../src/wire/x509/certificateWriter.ts';
import { basicConstraints } from '../../../src/wire/x509/extensions.ts';
import { testSigner } from '../../support/issuing/world.ts';
import {
  authority,
  chip,
  deviceId,
  encode,
  factory,
  factoryKey,
  findingsOf,
  type Fixtures,
  idevid,
  ldevid,
  leafKey,
  listed,
  matterAuthority,
  matterDevice,
  nowMs,
  operational,
  responder,
  sessionServer,
  web,
} from '../../support/issuing/certificateParts.ts';
import { isNightly } from '../../support/nightly.ts';

test('what keeps every rule passes, and gets the token without which nothing is signed', () => {
  for (const kind of [
    idevid,
    ldevid,
    web,
    listed,
    responder,
    sessionServer,
    authority,
    chip,
    matterAuthority,
    matterDevice,
  ]) {
    assert.deepEqual(findingsOf(kind), []);
    const { profile: used, issuer: of } = kind;
    const linted = lint(nodeCrypto, {
      tbs: encode(kind.parts()),
      profile: used,
      issuer: of,
      nowMs,
    });
    assert.ok(linted instanceof LintedTbs);
  }
});

/** One file of fixtures for each file of a rule, of the same name. */
const fixtureFolder = new URL('lints/', import.meta.url);
const ruleFolder = new URL('../../../src/trust/issuance/lints/rules/', import.meta.url);

test('each rule is a file with its clause, and has fixtures that keep and that break it', async () => {
  const files = readdirSync(ruleFolder).toSorted();
  assert.deepEqual(
    rules.map(({ id }) => `${id}.ts`).toSorted(),
    files,
    'a file that is not listed, or that has not the name of its rule',
  );
  assert.deepEqual(readdirSync(fixtureFolder).toSorted(), files);
  for (const { id, clause } of rules) {
    assert.match(clause, /RFC|profile|IEEE|docs/);
    const { fixtures } = (await import(new URL(`${id}.ts`, fixtureFolder).href)) as {
      readonly fixtures: Fixtures;
    };
    assert.ok(fixtures.good.length > 0 && fixtures.bad.length > 0, id);
    for (const [index, fixture] of fixtures.good.entries()) {
      assert.deepEqual(findingsOf(...fixture), [], `good fixture ${index} of ${id}`);
    }
    for (const [index, fixture] of fixtures.bad.entries()) {
      const found = findingsOf(...fixture);
      const told = `bad fixture ${index} of ${id}: found ${found.join() || 'nothing'}`;
      assert.ok(found.includes(id), told);
    }
  }
});

test('bytes that cannot be read are one finding, with the reader’s words', () => {
  const good = encode(idevid.parts());
  for (const tbs of [new Uint8Array(0), good.subarray(1), concat(good, Uint8Array.of(0))]) {
    const found = findings(nodeCrypto, { tbs, profile: idevid.profile, issuer: factory, nowMs });
    assert.deepEqual(
      found.map(({ rule }) => rule),
      ['encoding'],
    );
  }
  const twice = idevid.parts();
  const [first] = twice.extensions;
  assert.ok(first);
  assert.deepEqual(
    findingsOf(idevid, () => ({ extensions: [...twice.extensions, first] })),
    ['encoding'],
  );
  const algorithm = encodeSignatureAlgorithm('ecdsa-with-SHA384');
  assert.deepEqual(
    findingsOf(idevid, () => ({ algorithm })),
    ['encoding'],
  );
});

test('a LintedTbs cannot be made by hand', () => {
  const constructor: unknown = LintedTbs;
  const make = constructor as new (token: symbol, input: object) => LintedTbs;
  assert.throws(() => new make(Symbol('passed every lint'), {}), TypeError);
});

test('an issuer is what its certificate says, and its key is its own', () => {
  const leaf = encodeCertificate(
    encode(idevid.parts()),
    factory.signatureAlgorithm,
    Uint8Array.of(0),
  );
  const parts = idevid.parts();
  const denying = encodeCertificate(
    encode({ ...parts, extensions: [...parts.extensions, basicConstraints({ ca: false })] }),
    factory.signatureAlgorithm,
    Uint8Array.of(0),
  );
  for (const none of [leaf, denying]) {
    assert.throws(() => issuerFrom('factory', none, leafKey), /no authority/);
  }
  assert.throws(
    () => issuerFrom('factory', leaf, factoryKey),
    /does not belong to its certificate/,
  );
});

test('contradictions in a profile are named', () => {
  const base = idevid.profile;
  for (const [change, fault] of [
    [{ name: 'No Name' }, /short lower-case word/],
    [{ version: 0 }, /version/],
    [{ issuedBy: [] }, /no authority issues it/],
    [{ keyUsage: [] }, /no key usage/],
    [{ keyUsage: ['digitalSignature', 'digitalSignature'] }, /named twice/],
    [{ keyUsage: ['keyCertSign'] }, /authorities alone/],
    [{ subject: 'authority' }, /names of their own form/],
    [{ authority: { excludesHosts: false } }, /names of their own form/],
    [{ keyPurposes: ['1.2.3', '1.2.3'] }, /purpose is named twice/],
    [{ lifetime: { kind: 'days', days: 0.5 } }, /no whole days/],
    [{ issuedBy: ['self'] }, /no authority/],
  ] as const) {
    const faults = faultsOfProfile({ ...base, ...change });
    assert.ok(
      faults.some((text) => fault.test(text)),
      `${faults.join('; ')} !~ ${fault}`,
    );
  }
  const issuing = authority.profile;
  const negative = { ...issuing, authority: { pathLength: -1, excludesHosts: true } };
  assert.match(faultsOfProfile(negative).join(), /path length/);
  assert.match(faultsOfProfile({ ...issuing, keyPurposes: ['1.2.3'] }).join(), /key purposes/);
  assert.match(
    faultsOfProfile({ ...issuing, alternativeName: 'hosts' }).join(),
    /alternative names/,
  );
  assert.throws(() => checkedProfiles([{ ...base, version: 0 }]), /profile idevid: the version/);
  assert.throws(() => checkedProfiles([base, base]), /two profiles/);
});

test('beside a sibling, the verdict is that of a full reading', () => {
  for (const kind of [idevid, ldevid, web]) {
    const { profile: used, issuer: of } = kind;
    const siblings = new Siblings();
    const verdictOf = (tbs: Uint8Array, known?: Siblings): string => {
      const verdict = lint(nodeCrypto, { tbs, profile: used, issuer: of, nowMs }, known);
      return verdict instanceof LintedTbs ? 'passed' : verdict.reason;
    };
    const good = encode(kind.parts());
    assert.equal(verdictOf(good, siblings), 'passed');
    const change = fc.record({
      at: fc.nat(good.length - 1),
      octets: fc.uint8Array({ minLength: 1, maxLength: 24 }),
    });
    // The serial number, behind 30 82 .. .., the version and 02 10, with an octet too many of either sign.
    const padded = ['0001', 'ff80'].map((hex) => ({ at: 11, octets: fromHex(hex) }));
    assert.equal(good[11], kind.parts().serial[2]);
    fc.assert(
      fc.property(fc.array(change, { maxLength: 2 }), (changes) => {
        const tbs = good.slice();
        for (const { at, octets } of changes) tbs.set(octets.subarray(0, tbs.length - at), at);
        assert.equal(verdictOf(tbs, siblings), verdictOf(tbs));
      }),
      { numRuns: isNightly ? 100_000 : 1_000, examples: padded.map((one) => [[one]]) },
    );
  }
});

test('a sibling with other values is not read anew, and passes', () => {
  const siblings = new Siblings();
  const encodeOne = compileProfile(nodeCrypto, idevid.profile, factory);
  const one = (uid: number, key = testSigner()): Uint8Array => {
    const hardware = { hwType: '1.3.6.1.4.1.32473.1', hwSerialNum: new Uint8Array(9).fill(uid) };
    const content = { spki: key.publicKeySpki, name: deviceId, hardware };
    // The length of a serial number decides that of the certificate.
    return encodeOne(content, nowMs, new Uint8Array(16).fill(uid + 1)).tbs;
  };
  const input = (tbs: Uint8Array) => ({ tbs, profile: idevid.profile, issuer: factory, nowMs });
  assert.equal(siblings.resembling(nodeCrypto, input(one(1))), undefined);
  assert.ok(lint(nodeCrypto, input(one(1)), siblings) instanceof LintedTbs);
  const second = one(2);
  const subject = siblings.resembling(nodeCrypto, input(second));
  assert.deepEqual(subject?.certificate.serialNumber, new Uint8Array(16).fill(3));
  assert.deepEqual(subject?.hardwareModule?.hwSerialNum, new Uint8Array(9).fill(2));
  assert.ok(lint(nodeCrypto, input(second), siblings) instanceof LintedTbs);
  // The right octets everywhere but in the key identifier: found, though it was not read anew.
  const wrong = second.slice();
  const identifier = subject?.subjectKeyIdentifier;
  assert.ok(identifier);
  const at = identifier.byteOffset - second.byteOffset;
  wrong[at] = (wrong[at] ?? 0) ^ 1;
  const refused = lint(nodeCrypto, input(wrong), siblings);
  assert.ok(!(refused instanceof LintedTbs) && /ski/.test(refused.reason));
});

test('serial numbers are drawn anew for every certificate', () => {
  const encodeOne = compileProfile(nodeCrypto, ldevid.profile, operational);
  const content = { spki: leafKey.publicKeySpki, name: deviceId };
  const serials = Array.from({ length: 50 }, () => encodeOne(content, nowMs).serialNumber.join());
  assert.equal(new Set(serials).size, 50);
});
