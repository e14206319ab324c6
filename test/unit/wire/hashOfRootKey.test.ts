/** RFC 8649: what the extension looks like, what is no such extension, and which root a device takes in by it. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { extendAnchors } from '../../../src/device/enrolment/anchors.ts';
import { nodeCrypto } from '../../../src/drivers/keys/software/nodeCrypto.ts';
import { fromHex, toHex } from '../../../src/wire/bytes/hex.ts';
import { MalformedError } from '../../../src/wire/bytes/malformed.ts';
import {
  committedSha256,
  decodeHashOfRootKey,
  hashOfRootKey,
  hashOfRootKeyOid,
} from '../../../src/wire/x509/hashOfRootKey.ts';
import { openssl, opensslMissing, withFiles } from '../../support/openssl.ts';
import { testKey, testRoot } from '../../support/pki.ts';

function hashOf(spki: Uint8Array): Uint8Array {
  return new Uint8Array(createHash('sha256').update(spki).digest());
}

test('as DER: SHA-256 without parameters, then the hash; not critical', () => {
  const hash = new Uint8Array(32).fill(0xab);
  const { oid, critical, value } = hashOfRootKey(hash);
  assert.deepEqual([oid, critical], [hashOfRootKeyOid, false]);
  // By hand after X.690: SEQUENCE { SEQUENCE { OID 2.16.840.1.101.3.4.2.1 }, OCTET STRING }.
  assert.equal(toHex(value), `302f300b06096086480165030402010420${'ab'.repeat(32)}`);
  assert.deepEqual(committedSha256(value), hash);
  // Parameters may be NULL as well.
  const withNull = fromHex(`3031300d060960864801650304020105000420${'ab'.repeat(32)}`);
  assert.deepEqual(committedSha256(withNull), hash);
});

test('what is no such extension, and hashes that are not judged', () => {
  const broken = [
    '',
    '3000',
    '300f300b0609608648016503040201',
    '0420',
    `300d300b0609608648016503040201`,
  ];
  for (const hex of broken)
    assert.throws(() => decodeHashOfRootKey(fromHex(hex)), MalformedError, hex);
  const sha512 = fromHex(`302f300b06096086480165030402030420${'ab'.repeat(32)}`);
  assert.equal(committedSha256(sha512), undefined);
  assert.equal(committedSha256(hashOfRootKey(new Uint8Array(31)).value), undefined);
});

test('a device takes in the root that its own has named, whatever it is called, and no other', () => {
  const nextKey = testKey();
  const present = testRoot('Maker', { moreExtensions: [hashOfRootKey(hashOf(nextKey.spki))] });
  const next = testRoot('Maker G2', { key: nextKey });
  const stranger = testRoot('Maker G2');
  const sameName = testRoot('Maker');
  const der = [stranger, sameName, next].map(({ certificate }) => certificate.der);
  const own = present.certificate.der;
  assert.deepEqual(extendAnchors(nodeCrypto, [own], der), [own, next.certificate.der]);
  // The key is the right one, but somebody else has signed for it.
  const forged = next.certificate.der.slice();
  forged[forged.length - 1] = (forged.at(-1) ?? 0) ^ 1;
  assert.deepEqual(extendAnchors(nodeCrypto, [own], [forged]), [own]);
  for (const value of [new Uint8Array(0), hashOfRootKey(new Uint8Array(31)).value]) {
    const extension = { oid: hashOfRootKeyOid, critical: false, value };
    const vague = testRoot('Maker', { moreExtensions: [extension] }).certificate.der;
    assert.deepEqual(extendAnchors(nodeCrypto, [vague], der), [vague]);
  }
});

test('openssl reads it', { skip: opensslMissing }, () => {
  const hash = new Uint8Array(32).fill(0xab);
  const { der } = testRoot('Maker', { moreExtensions: [hashOfRootKey(hash)] }).certificate;
  withFiles({ 'root.der': der }, (path) => {
    const { status, output } = openssl('x509 -inform DER -noout -text -in', path('root.der'));
    assert.equal(status, 0, output);
    assert.match(output, /1\.3\.6\.1\.4\.1\.51483\.2\.1/);
    const parsed = openssl('asn1parse -inform DER -i -in', path('root.der')).output;
    assert.match(parsed, /1\.3\.6\.1\.4\.1\.51483\.2\.1/);
  });
});
