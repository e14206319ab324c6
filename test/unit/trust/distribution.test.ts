/** Where certificates say that their status is found. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { nodeCrypto } from '../../../src/drivers/keys/software/nodeCrypto.ts';
import {
  accessUris,
  type Distribution,
  faultOfBaseUrl,
  listUriOf,
} from '../../../src/trust/issuance/distribution.ts';
import { issuerFrom } from '../../../src/trust/issuance/issuer.ts';
import { compileProfile } from '../../../src/trust/issuance/prepare.ts';
import { faultsOfProfile } from '../../../src/trust/issuance/profile.ts';
import { builtInProfiles } from '../../../src/trust/issuance/profiles.ts';
import { isShardCount, shardOf } from '../../../src/wire/crl/shard.ts';
import { parseCertificate } from '../../../src/wire/x509/certificate.ts';
import { encodeCertificate } from '../../../src/wire/x509/certificateWriter.ts';
import {
  decodeAuthorityInfoAccess,
  decodeCRLDistributionPoints,
  extensionOids,
  findExtension,
} from '../../../src/wire/x509/extensions.ts';
import { testKey, testNowMs, testPki } from '../../support/pki.ts';

const distribution: Distribution = {
  authority: 'operational',
  baseUrl: 'http://status.maker.example',
  shards: 64,
  responder: true,
};

test('shards are powers of two up to 4096', () => {
  assert.deepEqual([1, 2, 64, 4096].map(isShardCount), [true, true, true, true]);
  assert.deepEqual([0, -1, 3, 63, 1.5, 8192, Number.NaN].map(isShardCount), [
    false,
    false,
    false,
    false,
    false,
    false,
    false,
  ]);
});

test('the shard is the low bits of the serial number, whatever octets stand before them', () => {
  assert.equal(shardOf(Uint8Array.of(1, 2, 0x12, 0x34), 4096), 0x234);
  assert.equal(shardOf(Uint8Array.of(0x34), 64), 0x34);
  assert.equal(shardOf(Uint8Array.of(9, 9), 1), 0);
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), (serial) => {
      const padded = Uint8Array.of(0, ...serial);
      for (const shards of [1, 2, 64, 4096]) {
        const shard = shardOf(serial, shards);
        assert.equal(shard, shardOf(padded, shards));
        assert.ok(shard >= 0 && shard < shards);
      }
    }),
  );
});

test('base URLs: plain http under a name, nothing else', () => {
  for (const good of [
    'http://status.maker.example',
    'http://a.example:8080',
    'http://a.example/pki/v1',
    'http://127.0.0.1:9',
  ]) {
    assert.equal(faultOfBaseUrl(good), undefined, good);
  }
  for (const bad of [
    'https://a.example',
    'http://a.example/',
    'http://',
    'http://A.example',
    'http://a.example/?q',
    'http://a.example/a b',
    'http://user@a.example',
    'http://a.example:0',
    'ldap://a.example',
    `http://${'a'.repeat(100)}`,
  ]) {
    assert.notEqual(faultOfBaseUrl(bad), undefined, bad);
  }
});

test('a certificate names its list, its responder and its issuer', () => {
  const { operational } = testPki();
  const signer = {
    algorithm: 'ecdsa-with-SHA256',
    publicKeySpki: operational.key.spki,
    sign: async (data: Uint8Array) => operational.key.sign(data),
  } as const;
  const issuer = issuerFrom('operational', operational.certificate.der, signer, { distribution });
  const profile = builtInProfiles.get('ldevid');
  assert.ok(profile);
  const prepare = compileProfile(nodeCrypto, profile, issuer);
  for (let round = 0; round < 100; round++) {
    const content = { spki: testKey().spki, name: '0123456789abcdef' };
    const { tbs, serialNumber } = prepare(content, testNowMs);
    const { extensions } = parseCertificate(
      encodeCertificate(tbs, issuer.signatureAlgorithm, Uint8Array.of(0)),
    );
    const points = findExtension(extensions, extensionOids.cRLDistributionPoints);
    assert.deepEqual(points && decodeCRLDistributionPoints(points.value), [
      {
        kind: 'uniformResourceIdentifier',
        text: `http://status.maker.example/crl/operational/${(serialNumber[15] ?? 0) & 63}.crl`,
      },
    ]);
    assert.equal(
      listUriOf(distribution, serialNumber),
      `http://status.maker.example/crl/operational/${(serialNumber[15] ?? 0) & 63}.crl`,
    );
    const access = findExtension(extensions, extensionOids.authorityInfoAccess);
    const { ocsp, caIssuers } = accessUris(distribution);
    assert.deepEqual(
      access && decodeAuthorityInfoAccess(access.value).map(({ location }) => location),
      [ocsp, caIssuers].map((text) => ({ kind: 'uniformResourceIdentifier', text })),
    );
  }
});

test('a root has lists and no responder', () => {
  const { ocsp, caIssuers } = accessUris({ ...distribution, authority: 'root', responder: false });
  assert.equal(ocsp, undefined);
  assert.equal(caIssuers, 'http://status.maker.example/ca/root.cer');
});

test('a certificate whose status nobody asks for is short-lived', () => {
  const profile = builtInProfiles.get('ocsp-operational');
  assert.ok(profile);
  assert.deepEqual(faultsOfProfile(profile), []);
  for (const lifetime of [{ kind: 'unlimited' }, { kind: 'days', days: 32 }] as const) {
    assert.match(faultsOfProfile({ ...profile, lifetime }).join(), /short-lived/);
  }
});
