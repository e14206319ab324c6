import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { nodeCrypto } from '../../../src/drivers/keys/software/nodeCrypto.ts';
import { type Issuer, issuerFrom } from '../../../src/trust/issuance/issuer.ts';
import { findings, lint, LintedTbs, rules } from '../../../src/trust/issuance/lint.ts';
import { Siblings } from '../../../src/trust/issuance/lints/siblings.ts';
import { allHosts, compileProfile } from '../../../src/trust/issuance/prepare.ts';
import { checkedProfiles, faultsOfProfile } from '../../../src/trust/issuance/profile.ts';
import { concat } from '../../../src/wire/bytes/bytes.ts';
import { utf8 } from '../../../src/wire/bytes/utf8.ts';
import { tags } from '../../../src/wire/der/tags.ts';
import { noExpirationMs } from '../../../src/wire/der/time.ts';
import * as der from '../../../src/wire/der/writer.ts';
import { encodeSignatureAlgorithm } from '../../../src/wire/x509/algorithms.ts';
import { encodeCertificate } from '../../../src/wire/x509/certificateWriter.ts';
import * as ext from '../../../src/wire/x509/extensions.ts';
import { encodeName } from '../../../src/wire/x509/names.ts';
import { testSigner } from '../../support/issuing/world.ts';
import {
  access,
  attribute,
  authority,
  compressed,
  critical,
  dayMs,
  deviceId,
  distribution,
  encode,
  factory,
  factoryKey,
  findingsOf,
  idevid,
  type Kind,
  ldevid,
  leafKey,
  listBase,
  listed,
  module,
  name,
  named,
  nowMs,
  operational,
  organization,
  ownList,
  type Parts,
  replaced,
  responder,
  root,
  server,
  web,
  without,
} from '../../support/issuing/certificateParts.ts';

const oids = ext.extensionOids;

const bad: ReadonlyArray<
  readonly [rule: string, kind: Kind, (p: Parts) => Partial<Parts>, Issuer?]
> = [
  ['version-3', idevid, () => ({ version: der.explicit(0, der.integer(1)), extensions: [] })],
  ['serial-positive', idevid, () => ({ serial: der.element(tags.integer, Uint8Array.of(0)) })],
  [
    'serial-positive',
    idevid,
    () => ({ serial: der.element(tags.integer, new Uint8Array(16).fill(0x80)) }),
  ],
  ['serial-length', idevid, () => ({ serial: der.unsignedInteger(new Uint8Array(21).fill(1)) })],
  ['serial-unpredictable', idevid, () => ({ serial: der.unsignedInteger(Uint8Array.of(1, 2, 3)) })],
  ['encoding', idevid, () => ({ algorithm: encodeSignatureAlgorithm('ecdsa-with-SHA384') })],
  ['issuer-name', idevid, () => ({ issuer: root.subject.der })],
  ['time-encoding', ldevid, () => ({ notBefore: der.generalizedTime(nowMs) })],
  ['validity-order', ldevid, () => ({ notAfter: der.time(nowMs - 1000) })],
  ['validity-begun', ldevid, () => ({ notBefore: der.time(nowMs + 1000) })],
  ['validity-begun', ldevid, () => ({ notBefore: der.time(nowMs - 2 * dayMs) })],
  ['validity-profile', ldevid, () => ({ notAfter: der.time(nowMs + 366 * dayMs) })],
  ['validity-profile', ldevid, () => ({ notAfter: der.time(noExpirationMs) })],
  ['validity-profile', idevid, () => ({ notAfter: der.time(nowMs + dayMs) })],
  ['ends-with-issuer', ldevid, (p) => p, { ...operational, notAfterMs: nowMs + 364 * dayMs }],
  ['ends-with-issuer', ldevid, (p) => p, { ...operational, notBeforeMs: nowMs + 1 }],
  ['subject-present', idevid, () => ({ subject: der.sequence() })],
  [
    'subject-strings',
    web,
    () => ({ subject: encodeName(['organizationName', organization], ['commonName', 'a\0b']) }),
  ],
  [
    'subject-strings',
    web,
    () => ({
      subject: encodeName(['organizationName', organization], ['commonName', 'x'.repeat(65)]),
    }),
  ],
  [
    'subject-strings',
    web,
    () => ({
      subject: name(
        attribute('2.5.4.10', der.utf8String(organization)),
        attribute('2.5.4.3', der.element(tags.bmpString, utf8('ab'))),
      ),
    }),
  ],
  [
    'subject-strings',
    idevid,
    () => ({
      subject: name(
        attribute('2.5.4.10', der.utf8String(organization)),
        attribute('2.5.4.5', der.utf8String(deviceId)),
      ),
    }),
  ],
  ['subject-form', idevid, () => ({ subject: named })],
  [
    'subject-form',
    web,
    () => ({
      subject: encodeName(
        ['organizationName', organization],
        ['organizationalUnitName', 'x'],
        ['commonName', 'door'],
      ),
    }),
  ],
  [
    'subject-organization',
    idevid,
    () => ({ subject: encodeName(['organizationName', 'Other'], ['serialNumber', deviceId]) }),
  ],
  [
    'subject-device-id',
    idevid,
    () => ({ subject: encodeName(['organizationName', organization], ['serialNumber', 'WT1234']) }),
  ],
  ['self-issued', authority, () => ({ subject: root.subject.der })],
  ['san-criticality', idevid, replaced(ext.subjectAltName([module], true))],
  ['san-form', idevid, without(oids.subjectAltName)],
  [
    'san-form',
    idevid,
    replaced(ext.subjectAltName([module, { kind: 'dNSName', text: 'a.example' }])),
  ],
  ['san-form', ldevid, replaced(ext.subjectAltName([{ kind: 'dNSName', text: 'a.example' }]))],
  ['san-form', web, without(oids.subjectAltName)],
  [
    'san-form',
    web,
    replaced(
      ext.subjectAltName([{ kind: 'uniformResourceIdentifier', text: 'https://a.example' }]),
    ),
  ],
  ['san-host-names', web, replaced(ext.subjectAltName([{ kind: 'dNSName', text: 'a b.example' }]))],
  ['san-host-names', web, replaced(ext.subjectAltName([{ kind: 'dNSName', text: '*.example' }]))],
  ['san-host-names', web, replaced(ext.subjectAltName([{ kind: 'dNSName', text: '' }]))],
  [
    'san-host-names',
    web,
    replaced(ext.subjectAltName([{ kind: 'iPAddress', address: new Uint8Array(5) }])),
  ],
  ['subject-key', idevid, (p) => ({ spki: compressed(p.spki) })],
  ['subject-key-is-not-the-issuers', idevid, () => ({ spki: factoryKey.publicKeySpki })],
  ['ski', idevid, without(oids.subjectKeyIdentifier)],
  ['ski', idevid, replaced(ext.subjectKeyIdentifier(new Uint8Array(20)))],
  ['aki', idevid, without(oids.authorityKeyIdentifier)],
  ['aki', idevid, replaced(ext.authorityKeyIdentifier(root.keyIdentifier))],
  ['aki', idevid, replaced(critical(ext.authorityKeyIdentifier(factory.keyIdentifier), true))],
  [
    'aki-key-only',
    idevid,
    replaced({
      oid: oids.authorityKeyIdentifier,
      critical: false,
      value: der.sequence(
        der.implicit(0, der.octetString(factory.keyIdentifier)),
        der.element(0x82, Uint8Array.of(1)),
      ),
    }),
  ],
  ['key-usage-critical', idevid, without(oids.keyUsage)],
  ['key-usage-critical', idevid, replaced(critical(ext.keyUsage('digitalSignature'), false))],
  ['key-usage-profile', idevid, replaced(ext.keyUsage('digitalSignature', 'keyAgreement'))],
  ['key-purposes-profile', ldevid, without(oids.extKeyUsage)],
  ['key-purposes-profile', ldevid, replaced(ext.extKeyUsage(ext.keyPurposes.serverAuth))],
  ['key-purposes-profile', idevid, replaced(ext.extKeyUsage(ext.keyPurposes.clientAuth))],
  ['no-any-purpose', ldevid, replaced(ext.extKeyUsage(ext.keyPurposes.anyExtendedKeyUsage))],
  ['basic-constraints', idevid, replaced(ext.basicConstraints({ ca: true }))],
  ['basic-constraints', authority, without(oids.basicConstraints)],
  [
    'basic-constraints',
    authority,
    replaced(critical(ext.basicConstraints({ ca: true, pathLength: 0 }), false)),
  ],
  ['path-length', authority, replaced(ext.basicConstraints({ ca: true }))],
  ['path-below-issuer', authority, (p) => p, { ...root, pathLength: 0 }],
  ['cert-sign-means-authority', idevid, replaced(ext.keyUsage('keyCertSign'))],
  ['name-constraints', authority, without(oids.nameConstraints)],
  [
    'name-constraints',
    authority,
    replaced(ext.nameConstraints({ permitted: [], excluded: allHosts.slice(1) })),
  ],
  [
    'name-constraints',
    authority,
    replaced(critical(ext.nameConstraints({ permitted: [], excluded: allHosts }), false)),
  ],
  ['name-constraints', web, replaced(ext.nameConstraints({ permitted: [], excluded: allHosts }))],
  ['issuer-role', idevid, (p) => p, { ...factory, role: 'server' }],
  [
    'known-extensions',
    idevid,
    (p) => ({
      extensions: [...p.extensions, { oid: '1.2.3', critical: false, value: der.nullElement }],
    }),
  ],
  ['distribution-point', idevid, replaced(ext.cRLDistributionPoints('http://a.example'))],
  ['distribution-point', listed, without(oids.cRLDistributionPoints)],
  ['distribution-point', listed, replaced(ext.cRLDistributionPoints(`${listBase}/2.crl`))],
  ['distribution-point', listed, replaced(critical(ownList, true))],
  ['distribution-point', listed, (p) => p, { ...server, distribution: undefined }],
  [
    'distribution-point',
    listed,
    (p) => p,
    { ...server, distribution: { ...distribution, shards: 32 } },
  ],
  ['information-access', listed, without(oids.authorityInfoAccess)],
  ['information-access', listed, replaced(access('http://other.example/ocsp/server'))],
  ['information-access', idevid, replaced(access('http://status.example/ocsp/factory'))],
  ['distribution-point', responder, replaced(ownList)],
  ['information-access', responder, replaced(access('http://status.example/ocsp/server'))],
  ['no-check', responder, without(oids.ocspNoCheck)],
  ['no-check', responder, replaced(critical(ext.ocspNoCheck(), true))],
  ['no-check', ldevid, replaced(ext.ocspNoCheck())],
];

test('what keeps every rule passes, and gets the token without which nothing is signed', () => {
  for (const kind of [idevid, ldevid, web, listed, responder, authority]) {
    assert.deepEqual(
      findingsOf(kind, (p) => p),
      [],
    );
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

test('each rule finds its own fault', () => {
  for (const [index, [rule, kind, change, of]] of bad.entries()) {
    const found = findingsOf(kind, change, of);
    assert.ok(
      found.includes(rule),
      `fixture ${index} of ${rule}: found ${found.join() || 'nothing'}`,
    );
  }
});

test('every rule has a fixture that breaks it, and a clause', () => {
  const broken = new Set(bad.map(([rule]) => rule));
  assert.deepEqual(
    rules.filter(({ id }) => !broken.has(id)).map(({ id }) => id),
    [],
  );
  assert.equal(new Set(rules.map(({ id }) => id)).size, rules.length);
  for (const { clause } of rules) assert.match(clause, /RFC|profile|IEEE|docs/);
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
});

test('a LintedTbs cannot be made by hand', () => {
  const constructor: unknown = LintedTbs;
  const make = constructor as new (token: symbol, tbs: Uint8Array, issuer: Issuer) => LintedTbs;
  assert.throws(() => new make(Symbol('passed every lint'), new Uint8Array(1), factory), TypeError);
});

test('an issuer is what its certificate says, and its key is its own', () => {
  const leaf = encodeCertificate(
    encode(idevid.parts()),
    factory.signatureAlgorithm,
    Uint8Array.of(0),
  );
  assert.throws(() => issuerFrom('factory', leaf, leafKey), /no authority/);
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
    fc.assert(
      fc.property(fc.array(change, { maxLength: 2 }), (changes) => {
        const tbs = good.slice();
        for (const { at, octets } of changes) tbs.set(octets.subarray(0, tbs.length - at), at);
        assert.equal(verdictOf(tbs, siblings), verdictOf(tbs));
      }),
      { numRuns: process.env['BIRTHMARK_NIGHTLY'] === '1' ? 100_000 : 1_000 },
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
