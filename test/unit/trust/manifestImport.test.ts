/** The published manifest is believed, and every alteration of it is refused by name. */
import assert from 'node:assert/strict';
import { createHash, X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import { nodeCrypto } from '../../../src/drivers/keys/software/nodeCrypto.ts';
import { SoftwareVerifier } from '../../../src/drivers/keys/software/verifier.ts';
import { isRefusal } from '../../../src/trust/ports/faults.ts';
import {
  type ManifestRefused,
  type ManifestTrust,
  ManifestVerifier,
  VerifiedManifest,
} from '../../../src/trust/registry/manifestImport.ts';
import { toHex } from '../../../src/wire/bytes/hex.ts';
import { utf8 } from '../../../src/wire/bytes/utf8.ts';
import { makeMaker } from '../../support/manifestMaker.ts';
import {
  publishedLogSigner,
  publishedManifest,
  publishedRoot,
} from '../../support/manifestVector.ts';

const published: ManifestTrust = {
  format: 'microchip',
  signers: [publishedLogSigner],
  anchors: [publishedRoot],
};

const ports = { crypto: nodeCrypto, verifier: new SoftwareVerifier() };

function verify(file: Uint8Array, trust = published): VerifiedManifest | ManifestRefused {
  const verifier = new ManifestVerifier(trust, ports);
  for (let offset = 0; offset < file.length; offset += 1000) {
    const refused = verifier.push(file.subarray(offset, offset + 1000));
    if (refused !== undefined) {
      assert.throws(() => verifier.push(file), TypeError);
      assert.throws(() => verifier.finish(), TypeError);
      return refused;
    }
  }
  return verifier.finish();
}

function refused(outcome: VerifiedManifest | ManifestRefused): ManifestRefused {
  assert.ok(isRefusal(outcome), 'the manifest was believed');
  return outcome;
}

test('the published manifest gives its one element', () => {
  const manifest = verify(publishedManifest);
  assert.ok(manifest instanceof VerifiedManifest);
  const [element, ...others] = manifest.elements;
  assert.ok(element !== undefined && others.length === 0);
  assert.equal(element.family, 'atecc608');
  assert.equal(toHex(element.uid), '0123f1822c38dd7a01');
  assert.equal(element.proofLevel, 'vendor-anchored');
  assert.equal(element.birth, undefined);
  const leaf = new X509Certificate(element.certificates[0] ?? new Uint8Array());
  assert.equal(leaf.subject, 'O=Microchip Technology Inc\nCN=0123F1822C38DD7A01 ATECC');
  const sha256 = createHash('sha256').update(leaf.raw).digest('hex');
  assert.equal(toHex(element.certificateSha256), sha256);
  assert.deepEqual(
    Buffer.from(element.signKeySpki),
    leaf.publicKey.export({ format: 'der', type: 'spki' }),
  );
});

test('a tampered copy is refused and names the fault', () => {
  const text = new TextDecoder().decode(publishedManifest);
  const payload = /"payload": "([^"]+)"/.exec(text)?.[1] ?? '';
  const changed = Buffer.from(payload, 'base64url')
    .toString()
    .replace('ATECC608A-MAH22', 'ATECC608A-MAH23');
  const tampered = text.replace(payload, Buffer.from(changed).toString('base64url'));
  const outcome = refused(verify(utf8(tampered)));
  assert.equal(outcome.refused, 'wrong-signature');
  assert.equal(outcome.entry, 0);
  assert.match(outcome.reason, /^entry 0: the signature does not cover/);
});

test('wrong signer, wrong anchor, wrong format', () => {
  const other = makeMaker();
  const cases: Array<[Partial<ManifestTrust>, string]> = [
    [{ signers: [] }, 'unknown-signer'],
    [{ signers: [other.signerCertificate] }, 'unknown-signer'],
    [{ anchors: [other.rootCertificate] }, 'untrusted-certificate'],
    [{ anchors: [] }, 'untrusted-certificate'],
    [{ format: 'birthmark' }, 'malformed'],
  ];
  for (const [change, code] of cases) {
    assert.equal(refused(verify(publishedManifest, { ...published, ...change })).refused, code);
  }
});

test('the unsigned unique id must be the signed one', () => {
  const text = new TextDecoder().decode(publishedManifest);
  const swapped = text.replace('0123f1822c38dd7a01', '0123f1822c38dd7a02');
  assert.equal(refused(verify(utf8(swapped))).refused, 'wrong-identity');
});

test('the same entry twice is a duplicate', () => {
  const text = new TextDecoder().decode(publishedManifest).trim();
  const doubled = `${text.slice(0, -1)},${text.slice(1)}`;
  const outcome = refused(verify(utf8(doubled)));
  assert.deepEqual([outcome.refused, outcome.entry], ['duplicate', 1]);
  assert.match(outcome.reason, /unique id atecc608:0123f1822c38dd7a01 is that of entry 0/);
});

test('a manifest of ours is believed with its birth members', () => {
  const maker = makeMaker();
  const manifest = verify(maker.manifest([{}, {}, {}]), maker.trust);
  assert.ok(manifest instanceof VerifiedManifest);
  assert.equal(manifest.elements.length, 3);
  const [element] = manifest.elements;
  assert.equal(element?.proofLevel, 'line-anchored');
  assert.equal(element?.family, 'software');
  assert.equal(element?.agreeKey?.length, 65);
  assert.match(element?.birth?.deviceId ?? '', /^[0-9a-z]{16}$/);
});

test('one bad entry among good ones is named and nothing comes out', () => {
  const maker = makeMaker();
  const cases: Array<[Parameters<typeof maker.manifest>[0][number], string]> = [
    [{ certifiedKey: 'another' }, 'wrong-key'],
    [{ offCurve: true }, 'wrong-key'],
    [{ withoutCertificate: true }, 'wrong-key'],
    [{ withoutBirth: true }, 'malformed'],
    [{ signSlot: 'signature' }, 'wrong-key'],
    [{ certifiedDeviceId: 'zzzzzzzzzzzzzzzz' }, 'wrong-identity'],
    [{ provisionedMs: Date.parse('2001-01-01T00:00:00Z') }, 'signer-expired'],
    [{ provisionedMs: Date.parse('2101-01-01T00:00:00Z') }, 'signer-expired'],
    [{ brokenCertificate: true }, 'malformed'],
    [{ issuer: makeMaker() }, 'untrusted-certificate'],
    [{ uid: Uint8Array.of(1, 2, 3) }, ''],
  ];
  for (const [change, code] of cases) {
    const outcome = verify(maker.manifest([{}, change, {}]), maker.trust);
    if (code === '') {
      assert.ok(outcome instanceof VerifiedManifest);
      continue;
    }
    const { refused: found, entry, reason } = refused(outcome);
    assert.deepEqual([found, entry], [code, 1], JSON.stringify(change));
    assert.match(reason, /^entry 1: /);
  }
});

test('ids and keys of another entry are duplicates', () => {
  const maker = makeMaker();
  const uid = Uint8Array.of(9, 9);
  const deviceId = '0123456789abcdef';
  const eui64 = Uint8Array.of(1, 1, 1, 1, 1, 1, 1, 1);
  for (const shared of [{ uid }, { deviceId }, { eui64 }, { keySeed: 'one' }]) {
    const outcome = refused(verify(maker.manifest([shared, {}, shared]), maker.trust));
    assert.deepEqual([outcome.refused, outcome.entry], ['duplicate', 2], JSON.stringify(shared));
  }
});

test('a file that ends early, or holds more than an array, imports nothing', () => {
  const maker = makeMaker();
  const file = maker.manifest([{}, {}]);
  const cut = refused(verify(file.subarray(0, file.length - 3), maker.trust));
  assert.deepEqual([cut.refused, cut.entry], ['malformed', 2]);
  assert.equal(
    refused(verify(utf8(`${new TextDecoder().decode(file)}{}`), maker.trust)).refused,
    'malformed',
  );
});

test('a pinned signer must be able to sign manifests', () => {
  const maker = makeMaker();
  assert.throws(
    () => new ManifestVerifier({ ...published, signers: [maker.rootCertificate] }, ports),
    /not for signatures/,
  );
  assert.throws(
    () => new ManifestVerifier({ ...published, signers: [new Uint8Array(3)] }, ports),
    /der/,
  );
});

test('nobody else makes a verified manifest', () => {
  assert.throws(() => new VerifiedManifest(Symbol('verified') as never, []), TypeError);
});
