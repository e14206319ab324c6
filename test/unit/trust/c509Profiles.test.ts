/** Whatever the authority issues can be shown as C509 and come back, and can be signed natively. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nodeCrypto } from '../../../src/drivers/keys/software/nodeCrypto.ts';
import { decompressPoint } from '../../../src/drivers/keys/software/points.ts';
import { SoftwareVerifier } from '../../../src/drivers/keys/software/verifier.ts';
import { issuerFrom, rootToBe } from '../../../src/trust/issuance/issuer.ts';
import { compileProfile } from '../../../src/trust/issuance/prepare.ts';
import { builtInProfiles } from '../../../src/trust/issuance/profiles.ts';
import type { Signer } from '../../../src/trust/ports/keys.ts';
import { parseC509Certificate } from '../../../src/wire/c509/certificate.ts';
import { c509FromX509, x509FromC509 } from '../../../src/wire/c509/convert.ts';
import { prepareNativeCertificate } from '../../../src/wire/c509/native.ts';
import { noExpirationMs } from '../../../src/wire/der/time.ts';
import { parseCertificate } from '../../../src/wire/x509/certificate.ts';
import { encodeCertificate } from '../../../src/wire/x509/certificateWriter.ts';
import { encodeName } from '../../../src/wire/x509/names.ts';
import { testHwType, testKey, testNowMs, testPki, validFromMs } from '../../support/pki.ts';

const pki = testPki();
const verifier = new SoftwareVerifier();
const hosts = ['gateway.example.com', '192.0.2.1', '2001:db8::1'];
const generation = { generation: 7, floor: 5, statusKey: new Uint8Array(33).fill(2) };
const hardware = { hwType: testHwType, hwSerialNum: Uint8Array.of(1, 2, 3) };

function signerOf(key: ReturnType<typeof testKey>): Signer {
  return {
    algorithm: 'ecdsa-with-SHA256',
    publicKeySpki: key.spki,
    sign: (data) => Promise.resolve(key.sign(data)),
  };
}

function isOurs(role: string): role is 'root' | 'factory' | 'operational' | 'server' {
  return ['root', 'factory', 'operational', 'server'].includes(role);
}

for (const profile of builtInProfiles.values()) {
  test(`${profile.name}: both forms and both types`, () => {
    const [role = 'root'] = profile.issuedBy;
    const period = { notBeforeMs: validFromMs, notAfterMs: noExpirationMs };
    const own = testKey();
    // Any authority will do for a profile of chips or of Matter: their encoding is what counts here.
    const authority = role === 'self' ? undefined : pki[isOurs(role) ? role : 'root'];
    const key = authority?.key ?? own;
    const issuer =
      authority === undefined || role === 'self'
        ? rootToBe(
            nodeCrypto,
            encodeName(['organizationName', 'Maker'], ['commonName', 'Root']),
            signerOf(own),
            period,
          )
        : issuerFrom(role, authority.certificate.der, signerOf(key));
    const compiled = compileProfile(nodeCrypto, profile, issuer);
    for (const name of ['0123456789abcdef', 'zzzzzzzzzzzzzzzz', 'name 1']) {
      const content = { spki: own.spki, name, hardware, hosts, generation };
      const { tbs } = compiled(content, testNowMs);
      const x509 = encodeCertificate(tbs, issuer.signatureAlgorithm, key.sign(tbs));
      const c509 = c509FromX509(x509, decompressPoint);
      assert.deepEqual(x509FromC509(c509, decompressPoint), x509);
      const certificate = parseCertificate(x509);
      const prepared = prepareNativeCertificate(certificate);
      const native = prepared.finish(key.sign(prepared.toBeSigned));
      // The draft: both types have the same size.
      assert.equal(native.length, c509.length);
      const read = parseC509Certificate(native, decompressPoint).certificate;
      assert.deepEqual(read.extensions, certificate.extensions);
      assert.deepEqual(read.subject.der, certificate.subject.der);
      assert.deepEqual(read.publicKey.spki, certificate.publicKey.spki);
      const { oid } = read.signatureAlgorithm;
      assert.ok(verifier.verify(key.spki, oid, read.tbs, read.signature));
    }
  });
}
