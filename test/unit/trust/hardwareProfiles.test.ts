/** Profiles of chips and of Matter at the issuing port. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { nodeCrypto } from '../../../src/drivers/keys/software/nodeCrypto.ts';
import type { Issued, IssueRequest } from '../../../src/trust/issuance/issuance.ts';
import { compileProfile } from '../../../src/trust/issuance/prepare.ts';
import type { Profile } from '../../../src/trust/issuance/profile.ts';
import { faultsOfProfile } from '../../../src/trust/issuance/profile.ts';
import { builtInProfiles } from '../../../src/trust/issuance/profiles.ts';
import { isRefusal } from '../../../src/trust/ports/faults.ts';
import { toHex } from '../../../src/wire/bytes/hex.ts';
import { generalizedTimeText, noExpirationMs } from '../../../src/wire/der/time.ts';
import {
  compressCertificate,
  rebuildCertificate,
} from '../../../src/wire/manifest/compressedCertificate.ts';
import { templateFrom } from '../../../src/wire/manifest/certificateTemplate.ts';
import { parseCertificate } from '../../../src/wire/x509/certificate.ts';
import * as ext from '../../../src/wire/x509/extensions.ts';
import { printName } from '../../../src/wire/x509/names.ts';
import { p256Point } from '../../../src/wire/x509/spki.ts';
import { EveryProfile } from '../../support/issuing/everyProfile.ts';
import { testSigner, type TestSigner } from '../../support/issuing/world.ts';

const startMs = Date.UTC(2026, 5, 1, 12, 34, 56);
const hourMs = 3_600_000;

function chipRequest(key: TestSigner, serial = 1): IssueRequest {
  const hwSerialNum = Uint8Array.of(1, 0x23, 0, 0, 0, 0, 0, serial, 0xee);
  const hardware = { hwType: '1.3.6.1.4.1.32473.1', hwSerialNum };
  const content = { spki: key.publicKeySpki, name: '0123456789abcdef', hardware };
  return { profile: 'chip-idevid', content };
}

async function issued(world: EveryProfile, request: IssueRequest): Promise<Issued> {
  const outcome = await world.issue(request);
  if (isRefusal(outcome)) throw new Error(outcome.reason);
  return outcome;
}

const create = (context: TestContext): Promise<EveryProfile> =>
  EveryProfile.create(context, startMs);

test('a chip’s certificate begins on the hour and lives whole years', async (context) => {
  const world = await create(context);
  const { certificate } = await issued(world, chipRequest(testSigner()));
  const { notBeforeMs, notAfterMs, subject, serialNumber } = parseCertificate(certificate);
  assert.equal(generalizedTimeText(notBeforeMs), '20260601120000Z');
  assert.equal(generalizedTimeText(notAfterMs), '20540601120000Z');
  assert.equal(printName(subject), 'serialNumber=0123000000000001EE,O=Maker');
  assert.equal((serialNumber[0] ?? 0) >> 6, 1);
});

test('72 bytes and what a reader of the chip knows give the certificate back', async (context) => {
  const world = await create(context);
  const authority = world.keys.get('chip-signer');
  assert.ok(authority);
  const authorityKey = p256Point(authority.publicKeySpki);
  const label = { templateId: 2, chainId: 0, serialSource: 'key-and-dates' } as const;
  const chipSerial = (serial: number): Uint8Array =>
    chipRequest(testSigner(), serial).content.hardware?.hwSerialNum ?? new Uint8Array(0);
  const first = await issued(world, chipRequest(testSigner(), 1));
  // The template is taken from one chip and serves all others of the signer.
  const template = templateFrom(first.certificate, chipSerial(1));
  world.nowMs += 30 * 24 * hourMs;
  for (const serial of [2, 3]) {
    const key = testSigner();
    const { certificate } = await issued(world, chipRequest(key, serial));
    const inputs = { chipSerial: chipSerial(serial), authorityKey };
    const compressed = compressCertificate(certificate, label, inputs, nodeCrypto);
    assert.equal(compressed.length, 72);
    const publicKey = p256Point(key.publicKeySpki);
    const rebuilt = rebuildCertificate(template, compressed, { ...inputs, publicKey }, nodeCrypto);
    assert.deepEqual(rebuilt, certificate);
  }
});

test('asked again in the same hour the same certificate comes; in the next one another', async (context) => {
  const world = await create(context);
  const key = testSigner();
  const first = await issued(world, chipRequest(key));
  world.nowMs += hourMs / 3;
  assert.deepEqual(await issued(world, chipRequest(key)), first);
  assert.equal((await world.store.countCertificates()).issued, 8);
  // Twice in one batch, before either is stored.
  const other = testSigner();
  const both = await world.issuance().issue([chipRequest(other, 7), chipRequest(other, 7)]);
  assert.deepEqual(both[0], both[1]);
  // The same key in another chip: its serial number would be the same.
  assert.deepEqual(await world.issue(chipRequest(key, 9)), {
    refused: 'key-taken',
    reason: 'The key has another certificate of this hour.',
  });
  world.nowMs += hourMs;
  const later = await issued(world, chipRequest(key));
  assert.notDeepEqual(later.serialNumber, first.serialNumber);
});

test('no chip’s certificate begins on 29 February', async (context) => {
  const world = await create(context);
  for (const [now, begins] of [
    [Date.UTC(2028, 1, 29, 0, 0, 0), '20280228230000Z'],
    [Date.UTC(2028, 1, 29, 23, 59, 59, 999), '20280228230000Z'],
    [Date.UTC(2028, 2, 1), '20280301000000Z'],
    [Date.UTC(2027, 1, 28, 23, 1), '20270228230000Z'],
  ] as const) {
    world.nowMs = now;
    const { certificate } = await issued(world, chipRequest(testSigner()));
    const { notBeforeMs } = parseCertificate(certificate);
    assert.equal(generalizedTimeText(notBeforeMs), begins);
  }
});

test('one list of the signer may stand in the template, several may not', async (context) => {
  const world = await create(context);
  const signer = world.issuers.get('chip-signer');
  const profile = builtInProfiles.get('chip-idevid');
  assert.ok(signer && profile);
  const pointsWith = (shards: number): boolean => {
    const distribution = {
      authority: 'chip-signer',
      baseUrl: 'http://status.example',
      shards,
      responder: false,
    };
    const { content } = chipRequest(testSigner());
    const { tbs } = compileProfile(nodeCrypto, profile, { ...signer, distribution })(
      content,
      startMs,
    );
    return toHex(tbs).includes(toHex(new TextEncoder().encode('http://status.example/crl')));
  };
  assert.equal(pointsWith(1), true);
  assert.equal(pointsWith(64), false);
});

test('Matter: PAA, PAI and DAC as the specification has them', async (context) => {
  const world = await create(context);
  const key = testSigner();
  const { certificate } = await issued(world, {
    profile: 'matter-dac',
    content: { spki: key.publicKeySpki, name: '0123456789abcdef' },
  });
  const dac = parseCertificate(certificate);
  const found = (oid: string) => ext.findExtension(dac.extensions, oid);
  assert.equal(
    printName(dac.subject),
    '1.3.6.1.4.1.37244.2.2=8000,1.3.6.1.4.1.37244.2.1=FFF1,CN=0123456789abcdef,O=Maker',
  );
  assert.equal(dac.notAfterMs, noExpirationMs);
  const constraints = found(ext.extensionOids.basicConstraints);
  assert.equal(constraints?.critical, true);
  assert.deepEqual(ext.decodeBasicConstraints(constraints.value), { ca: false });
  const usage = found(ext.extensionOids.keyUsage);
  assert.deepEqual(
    [...ext.decodeKeyUsage(usage?.value ?? new Uint8Array(0))],
    ['digitalSignature'],
  );
  assert.equal(found(ext.extensionOids.extKeyUsage), undefined);
  const lengths = (['matter-paa', 'matter-pai'] as const).map((role) => {
    const { extensions } = parseCertificate(world.certificates.get(role) ?? new Uint8Array(0));
    const value = ext.findExtension(extensions, ext.extensionOids.basicConstraints)?.value;
    return ext.decodeBasicConstraints(value ?? new Uint8Array(0)).pathLength;
  });
  assert.deepEqual(lengths, [1, 0]);
});

test('a vendor’s own profile issues only below a PAI of that vendor', async (context) => {
  const world = await create(context);
  const dac = builtInProfiles.get('matter-dac');
  assert.ok(dac);
  const ofProduct: Profile = {
    ...dac,
    name: 'meter-dac',
    matter: { vendorId: 'FFF1', productId: '8001' },
  };
  const ofOther: Profile = {
    ...ofProduct,
    name: 'other-dac',
    matter: { vendorId: '1234', productId: '8001' },
  };
  const profiles = new Map([ofProduct, ofOther].map((profile) => [profile.name, profile]));
  const content = { spki: testSigner().publicKeySpki, name: '0123456789abcdef' };
  const meter = await world.issue({ profile: 'meter-dac', content }, profiles);
  assert.ok(!isRefusal(meter));
  const other = await world.issue({ profile: 'other-dac', content }, profiles);
  assert.ok(isRefusal(other) && other.refused === 'unknown-profile');
});

test('contradictions of chips and of Matter are named', () => {
  const [chip, paa, pai, dac] = ['chip-idevid', 'matter-paa', 'matter-pai', 'matter-dac'].map(
    (name) => builtInProfiles.get(name),
  );
  assert.ok(chip && paa && pai && dac);
  for (const [profile, fault] of [
    [{ ...chip, compressed: { templateId: 16, chainId: 0 } }, /template or chain/],
    [{ ...chip, lifetime: { kind: 'days', days: 365 } }, /whole years/],
    [{ ...chip, lifetime: { kind: 'years', years: 32 } }, /whole years/],
    [{ ...chip, lifetime: { kind: 'years', years: 0.5 } }, /no whole years/],
    [{ ...chip, subject: 'device' }, /names its chip/],
    [{ ...chip, alternativeName: 'hosts' }, /alternative names/],
    [without(chip, 'keyIdentifier'), /SHA-1/],
    [without(dac, 'matter'), /go with subjects/],
    [{ ...chip, matter: {} }, /go with subjects/],
    [{ ...dac, matter: { vendorId: 'fff1', productId: '8000' } }, /upper-case/],
    [{ ...dac, matter: { vendorId: '0000', productId: '8000' } }, /no vendor/],
    [{ ...dac, matter: { vendorId: 'FFF1' } }, /without product/],
    [{ ...pai, matter: {} }, /no vendor id/],
    [{ ...paa, matter: { vendorId: 'FFF1', productId: '8000' } }, /PAA of one product/],
  ] as ReadonlyArray<readonly [Profile, RegExp]>) {
    assert.match(faultsOfProfile(profile).join('; '), fault);
  }
  for (const profile of builtInProfiles.values()) assert.deepEqual(faultsOfProfile(profile), []);
});

function without(profile: Profile, member: 'matter' | 'keyIdentifier'): Profile {
  const { [member]: _left, ...rest } = profile;
  return rest;
}
