import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { SoftwareVerifier } from '../../../src/drivers/keys/software/verifier.ts';
import { isRefusal } from '../../../src/trust/ports/faults.ts';
import type {
  CertificateKind,
  CertificateRecord,
  CertificateState,
} from '../../../src/trust/ports/registryStore.ts';
import { type PathRules, type TrustAnchor, verifyPath } from '../../../src/trust/peers/paths.ts';
import { PeerVerifier, VerifiedPeer } from '../../../src/trust/peers/verifiedPeer.ts';
import { concat } from '../../../src/wire/bytes/bytes.ts';
import { fromHex, toHex } from '../../../src/wire/bytes/hex.ts';
import { nullElement, sequence } from '../../../src/wire/der/writer.ts';
import { parseCertificate } from '../../../src/wire/x509/certificate.ts';
import * as ext from '../../../src/wire/x509/extensions.ts';
import type { GeneralName } from '../../../src/wire/x509/generalNames.ts';
import { attributeText, encodeName } from '../../../src/wire/x509/names.ts';
import { publishedPayload, publishedRoot } from '../../support/manifestVector.ts';
import {
  type Changes,
  everyInternetName,
  forged,
  idevidFields,
  ldevidFields,
  serverFields,
  type TestAuthority,
  type TestIdentity,
  testKey,
  testNowMs,
  testPki,
  testRoot,
  validFromMs,
  validUntilMs,
} from '../../support/pki.ts';

const pki = testPki();
const deviceId = '0123456789abcdef';
const expiredMs = testNowMs - 1000;
const sha256 = (data: Uint8Array): Uint8Array =>
  new Uint8Array(createHash('sha256').update(data).digest());

/** The certificates that the registry knows; what a test does not enter is unknown there. */
class MemoryRegistry {
  readonly #records = new Map<string, CertificateRecord>();

  enter(identity: TestIdentity, kind: CertificateKind, state: CertificateState = 'active'): void {
    this.#records.set(toHex(identity.sha256), {
      sha256: identity.sha256,
      kind,
      holder: deviceId,
      notAfterMs: undefined,
      state,
      addedMs: 0,
      revokedMs: undefined,
      revocationReason: undefined,
    });
  }

  certificate(hash: Uint8Array): Promise<CertificateRecord | undefined> {
    return Promise.resolve(this.#records.get(toHex(hash)));
  }
}

const anchor = (
  { certificate }: TestAuthority,
  kinds: readonly CertificateKind[],
  expiryGraceMs?: number,
): TrustAnchor =>
  expiryGraceMs === undefined ? { certificate, kinds } : { certificate, kinds, expiryGraceMs };

/** Every kind of door, whom it lets in, and a certificate that is right there. */
const doors: ReadonlyArray<{
  readonly name: string;
  readonly rules: PathRules;
  readonly kind: CertificateKind;
  readonly issuer: TestAuthority;
  readonly issue: (changes?: Changes) => TestIdentity;
}> = [
  door('device, at birth', 'idevid', pki.factory, (changes) => pki.idevid(deviceId, changes), [
    anchor(pki.factory, ['idevid']),
    anchor(pki.operational, ['ldevid']),
  ]),
  door('device, enrolled', 'ldevid', pki.operational, (changes) => pki.ldevid(deviceId, changes), [
    anchor(pki.factory, ['idevid']),
    anchor(pki.operational, ['ldevid']),
  ]),
  door('station', 'station', pki.server, (changes) => pki.station('line-1', changes), [
    anchor(pki.server, ['station']),
  ]),
  door('application', 'application', pki.server, (changes) => pki.application('app', changes), [
    anchor(pki.server, ['application', 'operator']),
  ]),
  door('operator', 'operator', pki.server, (changes) => pki.operator('anna', changes), [
    anchor(pki.server, ['application', 'operator']),
  ]),
  door('server', 'server', pki.server, (changes) => pki.serverIdentity(undefined, changes), [
    anchor(pki.server, ['server']),
  ]),
];

function door(
  name: string,
  kind: CertificateKind,
  issuer: TestAuthority,
  issue: (changes?: Changes) => TestIdentity,
  anchors: readonly TrustAnchor[],
): (typeof doors)[number] {
  return { name, kind, issuer, issue, rules: { anchors, intermediates: [] } };
}

async function outcome(
  identity: TestIdentity,
  kind: CertificateKind,
  rules: PathRules,
  { state = 'active', nowMs = testNowMs }: { state?: CertificateState; nowMs?: number } = {},
): Promise<string> {
  const registry = new MemoryRegistry();
  registry.enter(identity, kind, state);
  const ports = {
    registry,
    verifier: new SoftwareVerifier(),
    clock: { nowMs: () => nowMs },
    sha256,
  };
  const peer = await new PeerVerifier(ports, () => rules).verifyPeer(identity.chain);
  return isRefusal(peer) ? peer.refused : `in as ${peer.kind}`;
}

for (const { name, kind, issuer, issue, rules } of doors) {
  test(`door ${name}: who belongs here gets in`, async () => {
    assert.equal(await outcome(issue(), kind, rules), `in as ${kind}`);
  });

  test(`door ${name}: forged, expired, and both`, async () => {
    assert.equal(await outcome(forged(issue()), kind, rules), 'bad-signature');
    assert.equal(await outcome(issue({ notAfterMs: expiredMs }), kind, rules), 'expired');
    const both = forged(issue({ notAfterMs: expiredMs }));
    assert.equal(await outcome(both, kind, rules), 'bad-signature');
    const early = issue({ notBeforeMs: testNowMs + 1000 });
    assert.equal(await outcome(early, kind, rules), 'not-yet-valid');
  });

  test(`door ${name}: a waiver of dates waives dates alone`, async () => {
    const waived: PathRules = {
      ...rules,
      anchors: rules.anchors.map((entry) => ({
        ...entry,
        expiryGraceMs: Number.POSITIVE_INFINITY,
      })),
    };
    const expired = { notAfterMs: expiredMs };
    assert.equal(await outcome(issue(expired), kind, waived), `in as ${kind}`);
    assert.equal(await outcome(forged(issue(expired)), kind, waived), 'bad-signature');
    assert.equal(await outcome(issue(expired), kind, waived, { state: 'revoked' }), 'revoked');
    const early = issue({ notBeforeMs: testNowMs + 1000 });
    assert.equal(await outcome(early, kind, waived), 'not-yet-valid');
    const usage = [ext.keyUsage('keyAgreement')];
    assert.equal(
      await outcome(issue({ ...expired, extensions: usage }), kind, waived),
      'wrong-purpose',
    );
  });

  test(`door ${name}: a path of somebody else`, async () => {
    const stranger = testRoot('Test Root').issueAuthority(
      attributeText(issuer.certificate.subject, 'commonName') ?? '',
    );
    const impostor = stranger.issue({ subject: issue().certificate.subject.der, extensions: [] });
    assert.equal(await outcome(impostor, kind, rules), 'unknown-issuer');
    // The same without key identifiers, so that the name alone leads to our authority.
    const nameless = stranger.issue(
      { subject: issue().certificate.subject.der, extensions: [] },
      { extensions: [ext.keyUsage('digitalSignature')] },
    );
    assert.equal(await outcome(nameless, kind, rules), 'bad-signature');
    const renamed = issue({ issuer: encodeName(['commonName', 'Somebody']) });
    assert.equal(await outcome(renamed, kind, rules), 'unknown-issuer');
    const selfSigned = testRoot('me', { extensions: [ext.keyUsage('digitalSignature')] });
    assert.equal(await outcome(selfSigned, kind, rules), 'unknown-issuer');
  });

  test(`door ${name}: certificates of the other doors, whatever the registry says`, async () => {
    for (const other of doors) {
      if (other.kind === kind) continue;
      const result = await outcome(other.issue(), other.kind, rules);
      const sharesDoor = rules.anchors.some(({ kinds }) => kinds.includes(other.kind));
      if (sharesDoor) assert.equal(result, `in as ${other.kind}`);
      else assert.match(result, /^(unknown-issuer|wrong-purpose|wrong-kind)$/, other.name);
    }
  });

  test(`door ${name}: what the registry says`, async () => {
    const identity = issue();
    assert.equal(await outcome(identity, kind, rules, { state: 'revoked' }), 'revoked');
    assert.equal(await outcome(identity, kind, rules, { state: 'held' }), 'held');
    assert.equal(await outcome(identity, kind, rules, { state: 'superseded' }), 'superseded');
    const ports = {
      registry: new MemoryRegistry(),
      verifier: new SoftwareVerifier(),
      clock: { nowMs: () => testNowMs },
      sha256,
    };
    const verifier = new PeerVerifier(ports, () => rules);
    const unknown = await verifier.verifyPeer(identity.chain);
    assert.ok(isRefusal(unknown) && unknown.refused === 'unknown-certificate');
    ports.registry.enter(identity, kind);
    assert.ok((await verifier.verifyPeer(identity.chain)) instanceof VerifiedPeer);
  });

  test(`door ${name}: critical extensions that nobody here knows, and authorities`, async () => {
    const unknown = { oid: '1.2.3.4', critical: true, value: nullElement };
    assert.equal(
      await outcome(issue({ moreExtensions: [unknown] }), kind, rules),
      'unknown-critical-extension',
    );
    const harmless = { ...unknown, critical: false };
    assert.equal(
      await outcome(issue({ moreExtensions: [harmless] }), kind, rules),
      `in as ${kind}`,
    );
    const authority = issue({ moreExtensions: [ext.basicConstraints({ ca: true })] });
    assert.equal(await outcome(authority, kind, rules), 'authority-as-peer');
    const signer = issue({ extensions: [ext.keyUsage('digitalSignature', 'keyCertSign')] });
    assert.equal(await outcome(signer, kind, rules), 'authority-as-peer');
    assert.equal(await outcome(issuer, kind, rules), 'unknown-issuer');
    const broken = { oid: ext.extensionOids.keyUsage, critical: true, value: nullElement };
    assert.equal(await outcome(issue({ extensions: [broken] }), kind, rules), 'malformed');
  });
}

test('a certificate of a device is no server, whatever it says and whoever signed it', async () => {
  const server: PathRules = { anchors: [anchor(pki.server, ['server'])], intermediates: [] };
  const common: PathRules = {
    anchors: [anchor(pki.root, ['server'])],
    intermediates: [pki.factory, pki.operational, pki.server].map(({ certificate }) => certificate),
  };
  const { serverAuth } = ext.keyPurposes;
  const claims = [ext.keyUsage('digitalSignature'), ext.extKeyUsage(serverAuth)];
  const names = [...claims, ...serverFields(['localhost']).extensions.slice(2)];
  for (const identity of [
    pki.idevid(deviceId),
    pki.ldevid(deviceId),
    pki.idevid(deviceId, { extensions: names }),
    pki.ldevid(deviceId, { extensions: names }),
  ]) {
    assert.equal(await outcome(identity, 'server', server), 'unknown-issuer');
    assert.match(await outcome(identity, 'server', common), /^(wrong-purpose|name-excluded)$/);
  }
  // Under a common root the constraints of the issuing authority are what stops it.
  const pretender = pki.idevid(deviceId, { extensions: names });
  assert.equal(await outcome(pretender, 'server', common), 'name-excluded');
  assert.equal(await outcome(pki.serverIdentity(), 'server', common), 'in as server');
});

test('purposes: a kind needs its own, and `any` is none', async () => {
  const device: PathRules = { anchors: [anchor(pki.operational, ['ldevid'])], intermediates: [] };
  const purposes = (...oids: readonly string[]): TestIdentity =>
    pki.ldevid(deviceId, { extensions: [ext.extKeyUsage(...oids)] });
  const { anyExtendedKeyUsage, clientAuth, serverAuth } = ext.keyPurposes;
  assert.equal(await outcome(purposes(anyExtendedKeyUsage), 'ldevid', device), 'wrong-purpose');
  assert.equal(await outcome(purposes(serverAuth), 'ldevid', device), 'wrong-purpose');
  assert.equal(await outcome(purposes(serverAuth, clientAuth), 'ldevid', device), 'in as ldevid');
  const none = pki.ldevid(deviceId, { extensions: [ext.keyUsage('digitalSignature')] });
  assert.equal(await outcome(none, 'ldevid', device), 'wrong-purpose');
  // The authority of both application and server may vouch for either, but for each as what it is.
  const both: PathRules = {
    anchors: [anchor(pki.server, ['application', 'server'])],
    intermediates: [],
  };
  assert.equal(await outcome(pki.application('a'), 'server', both), 'wrong-kind');
});

test('authorities: CA, keyCertSign, path length, purposes, critical extensions, names', async () => {
  const root = testRoot('Anchor');
  const rules: PathRules = { anchors: [anchor(root, ['ldevid'])], intermediates: [] };
  const under = (authority: TestAuthority): Promise<string> =>
    outcome(authority.issue(ldevidFields(deviceId)), 'ldevid', rules);
  const issuing = (...extensions: readonly ext.KeyUsage[]): Changes => ({
    extensions: [ext.basicConstraints({ ca: true }), ext.keyUsage(...extensions)],
  });
  const { clientAuth, serverAuth } = ext.keyPurposes;
  assert.equal(await under(root.issueAuthority('a')), 'in as ldevid');
  assert.equal(await under(root.issueAuthority('a', {}, issuing('cRLSign'))), 'not-an-authority');
  const caFalse = { extensions: [ext.basicConstraints({ ca: false })] };
  assert.equal(await under(root.issueAuthority('a', {}, caFalse)), 'not-an-authority');
  const bare = { extensions: [ext.keyUsage('keyCertSign')] };
  assert.equal(await under(root.issueAuthority('a', {}, bare)), 'not-an-authority');
  const short = root.issueAuthority('a', { pathLength: 0 });
  assert.equal(await under(short), 'in as ldevid');
  assert.equal(await under(short.issueAuthority('b')), 'path-too-long');
  assert.equal(
    await under(root.issueAuthority('a', { pathLength: 1 }).issueAuthority('b')),
    'in as ldevid',
  );
  const two = root.issueAuthority('a', { pathLength: 1 }).issueAuthority('b');
  assert.equal(await under(two.issueAuthority('c')), 'path-too-long');
  // RFC 5280 §6.1.4 (l): what an authority issues to itself is not counted.
  assert.equal(await under(two.issueAuthority('b')), 'in as ldevid');
  let deep = root;
  const above: TestAuthority[] = [];
  for (let level = 0; level < 6; level++) {
    above.push(deep);
    deep = deep.issueAuthority(`level ${level}`);
  }
  assert.equal(await under(deep), 'unknown-issuer', 'longer than what a peer may send');
  const known = [deep, ...above].map(({ certificate }) => certificate);
  const identity = deep.issue(ldevidFields(deviceId));
  const informed: PathRules = { ...rules, intermediates: known };
  assert.equal(await outcome(identity, 'ldevid', informed), 'path-too-long');
  const servers = { extensions: [ext.extKeyUsage(serverAuth)] };
  assert.equal(await under(root.issueAuthority('a', servers)), 'wrong-purpose');
  const clients = { extensions: [ext.extKeyUsage(clientAuth)] };
  assert.equal(await under(root.issueAuthority('a', clients)), 'in as ldevid');
  const policies = { extensions: [{ oid: '2.5.29.36', critical: true, value: sequence() }] };
  assert.equal(await under(root.issueAuthority('a', policies)), 'unknown-critical-extension');
  const elsewhere = { kind: 'directoryName', name: root.certificate.subject } as const;
  const named = { nameConstraints: { permitted: [elsewhere], excluded: [] } };
  assert.equal(await under(root.issueAuthority('a', named)), 'name-excluded');
  assert.equal(await under(forgedAuthority(root)), 'bad-signature');
});

test('constraints of the anchor bind as those of any authority', async () => {
  const root = testRoot('Anchor');
  const factory = root.issueAuthority('Factory', {
    pathLength: 0,
    nameConstraints: { permitted: [], excluded: everyInternetName },
  });
  const rules: PathRules = { anchors: [anchor(factory, ['idevid'])], intermediates: [] };
  assert.equal(
    await outcome(factory.issue(idevidFields(deviceId)), 'idevid', rules),
    'in as idevid',
  );
  const below = factory.issueAuthority('Below').issue(idevidFields(deviceId));
  assert.equal(await outcome(below, 'idevid', rules), 'path-too-long');
  const named = (name: GeneralName): TestIdentity =>
    factory.issue({ ...idevidFields(deviceId), extensions: [ext.subjectAltName([name])] });
  for (const name of [
    { kind: 'dNSName', text: 'localhost' },
    { kind: 'dNSName', text: 'a.example.com' },
    { kind: 'iPAddress', address: fromHex('7f000001') },
    { kind: 'iPAddress', address: fromHex('00'.repeat(15) + '01') },
    { kind: 'uniformResourceIdentifier', text: 'https://example.com/' },
    { kind: 'uniformResourceIdentifier', text: 'urn:x' },
  ] as const) {
    assert.equal(
      await outcome(named(name), 'idevid', rules),
      'name-excluded',
      JSON.stringify(name),
    );
  }
});

test('an expired authority is a matter of dates, and the grace is counted from the earliest end', async () => {
  const root = testRoot('Anchor');
  const late = root.issueAuthority('Late', {}, { notAfterMs: expiredMs });
  const leaf = late.issue(ldevidFields(deviceId));
  const rules = (expiryGraceMs?: number): PathRules => ({
    anchors: [anchor(root, ['ldevid'], expiryGraceMs)],
    intermediates: [],
  });
  assert.equal(await outcome(leaf, 'ldevid', rules()), 'expired');
  assert.equal(await outcome(leaf, 'ldevid', rules(999)), 'expired');
  assert.equal(await outcome(leaf, 'ldevid', rules(1000)), 'in as ldevid');
  assert.equal(await outcome(leaf, 'ldevid', rules(), { nowMs: expiredMs }), 'in as ldevid');
  const never = { nowMs: validFromMs - 1 };
  assert.equal(await outcome(leaf, 'ldevid', rules(1000), never), 'not-yet-valid');
  assert.equal(await outcome(leaf, 'ldevid', rules(1000), { nowMs: validUntilMs }), 'expired');
});

test('rollover: several anchors, old and new keys of one name, crossed authorities', async () => {
  const old = testRoot('Root');
  const current = testRoot('Root');
  const identity = current.issue(ldevidFields(deviceId));
  const anchors = [anchor(old, ['ldevid']), anchor(current, ['ldevid'])];
  assert.equal(await outcome(identity, 'ldevid', { anchors, intermediates: [] }), 'in as ldevid');
  const [onlyOld = anchor(old, ['ldevid'])] = anchors;
  assert.equal(
    await outcome(identity, 'ldevid', { anchors: [onlyOld], intermediates: [] }),
    'unknown-issuer',
  );
  // New-with-old: the new key certified by the old root.
  const newWithOld = old.issueAuthority('Root', {}, { key: current.key });
  const crossed: PathRules = { anchors: [onlyOld], intermediates: [newWithOld.certificate] };
  assert.equal(await outcome(identity, 'ldevid', crossed), 'in as ldevid');
});

test('authorities that certify each other are no endless walk, and work is bounded', async () => {
  const left = testRoot('Left');
  const right = testRoot('Right');
  const circle = [
    left.issueAuthority('Right', {}, { key: right.key }),
    right.issueAuthority('Left', {}, { key: left.key }),
  ].map(({ certificate }) => certificate);
  const identity = left.issue(ldevidFields(deviceId));
  const rules: PathRules = {
    anchors: [anchor(testRoot('Left'), ['ldevid'])],
    intermediates: circle,
  };
  assert.equal(await outcome(identity, 'ldevid', rules), 'unknown-issuer');
  const extensions = [ext.basicConstraints({ ca: true })];
  const many = Array.from({ length: 40 }, () => testRoot('Many', { extensions }).certificate);
  const lost = testRoot('Many', { extensions }).issue(ldevidFields(deviceId), { extensions: [] });
  const crowd: PathRules = { anchors: [anchor(pki.root, ['ldevid'])], intermediates: many };
  let calls = 0;
  const registry = new MemoryRegistry();
  const verifier = { verify: () => ((calls += 1), false) };
  const ports = { registry, verifier, clock: { nowMs: () => testNowMs }, sha256 };
  const result = await new PeerVerifier(ports, () => crowd).verifyPeer(lost.chain);
  assert.ok(isRefusal(result) && result.refused === 'too-much-work');
  assert.equal(calls, 16);
});

test('an element of another maker: the chain of the published Microchip manifest', () => {
  const payload = JSON.parse(Buffer.from(publishedPayload).toString()) as {
    publicKeySet: { keys: ReadonlyArray<{ x5c?: readonly string[] }> };
  };
  const x5c = payload.publicKeySet.keys.flatMap((key) => key.x5c ?? []);
  const chain = x5c.map((text) => parseCertificate(new Uint8Array(Buffer.from(text, 'base64'))));
  const root = parseCertificate(publishedRoot);
  const rules: PathRules = {
    anchors: [{ certificate: root, kinds: ['idevid'] }],
    intermediates: [],
  };
  const path = verifyPath(chain, rules, new SoftwareVerifier(), testNowMs);
  assert.ok(!isRefusal(path));
  assert.deepEqual(
    path.certificates.map(({ subject }) => attributeText(subject, 'commonName')),
    [
      '0123F1822C38DD7A01 ATECC',
      'Crypto Authentication Signer F600',
      'Crypto Authentication Root CA 002',
    ],
  );
  const servers: PathRules = {
    anchors: [{ certificate: root, kinds: ['server'] }],
    intermediates: [],
  };
  const asServer = verifyPath(chain, servers, new SoftwareVerifier(), testNowMs);
  assert.ok(isRefusal(asServer) && asServer.refused === 'wrong-purpose');
});

test('bytes that are no certificate, and no bytes at all', async () => {
  const registry = new MemoryRegistry();
  const ports = {
    registry,
    verifier: new SoftwareVerifier(),
    clock: { nowMs: () => testNowMs },
    sha256,
  };
  const verifier = new PeerVerifier(ports, () => ({ anchors: [], intermediates: [] }));
  const refusedOf = async (...chain: readonly Uint8Array[]): Promise<string> => {
    const peer = await verifier.verifyPeer(chain);
    return isRefusal(peer) ? peer.refused : 'in';
  };
  const { der } = pki.ldevid(deviceId).certificate;
  assert.equal(await refusedOf(), 'no-certificate');
  assert.equal(await refusedOf(fromHex('3000')), 'malformed');
  assert.equal(await refusedOf(concat(der, fromHex('00'))), 'malformed');
  assert.equal(await refusedOf(der, fromHex('3000')), 'malformed');
  assert.equal(await refusedOf(der), 'unknown-issuer');
});

test('nobody but the verifier makes a verified peer', () => {
  const make: unknown = VerifiedPeer;
  const forge = make as new (...values: readonly unknown[]) => VerifiedPeer;
  assert.throws(() => new forge(Symbol('verified'), {}, { certificates: [] }, {}), TypeError);
});

/** An authority of the root's, by the certificate's word, under somebody else's signature. */
function forgedAuthority(root: TestAuthority): TestAuthority {
  const impostor = testRoot('Anchor', { key: testKey() });
  const identifier = ext.findExtension(
    root.certificate.extensions,
    ext.extensionOids.subjectKeyIdentifier,
  );
  const own = ext.decodeSubjectKeyIdentifier(identifier?.value ?? nullElement);
  return impostor.issueAuthority(
    'a',
    {},
    {
      extensions: [ext.authorityKeyIdentifier(own), ext.basicConstraints({ ca: true })],
    },
  );
}
