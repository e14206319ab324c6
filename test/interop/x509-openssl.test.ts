/** What we write, read and judged by others: openssl, GnuTLS' certtool, node. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { checkServerIdentity } from 'node:tls';
import { X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import * as ext from '../../src/wire/x509/extensions.ts';
import { encodeName } from '../../src/wire/x509/names.ts';
import { openssl, opensslMissing, withFiles } from '../support/openssl.ts';
import {
  forged,
  type TestIdentity,
  testKey,
  testPki,
  testRequest,
  testRoot,
} from '../support/pki.ts';

const pki = testPki();
const device = pki.ldevid('0123456789abcdef');
const skip = opensslMissing;

function verify(identity: TestIdentity, purpose: string, anchor: TestIdentity = pki.root): string {
  const files = {
    'anchor.pem': anchor.pem,
    'leaf.pem': identity.pem,
    'chain.pem': identity.chainPem,
  };
  return withFiles(
    files,
    (path) =>
      openssl(
        `verify -x509_strict -purpose ${purpose} -CAfile ${path('anchor.pem')} -untrusted ${path('chain.pem')}`,
        path('leaf.pem'),
      ).output,
  );
}

test('openssl x509 and asn1parse print what was written', { skip }, () => {
  const { der } = pki.idevid('0123456789abcdef').certificate;
  withFiles({ 'leaf.der': der, 'factory.der': pki.factory.certificate.der }, (path) => {
    const leaf = openssl('x509 -inform DER -noout -text -in', path('leaf.der')).output;
    assert.match(leaf, /Version: 3 \(0x2\)/);
    assert.match(leaf, /Subject: O = Test Maker, serialNumber = 0123456789abcdef/);
    assert.match(leaf, /Not After : Dec 31 23:59:59 9999 GMT/);
    assert.match(leaf, /X509v3 Key Usage: critical\s+Digital Signature\n/);
    assert.match(leaf, /X509v3 Subject Alternative Name:\s+othername:/);
    const factory = openssl('x509 -inform DER -noout -text -in', path('factory.der')).output;
    assert.match(factory, /Basic Constraints: critical\s+CA:TRUE, pathlen:0/);
    assert.match(factory, /Key Usage: critical\s+Certificate Sign, CRL Sign/);
    assert.match(
      factory,
      /Name Constraints: critical\s+Excluded:\s+DNS:\s+IP:0\.0\.0\.0\/0\.0\.0\.0/,
    );
    const parsed = openssl('asn1parse -inform DER -in', path('leaf.der'));
    assert.equal(parsed.status, 0);
    assert.match(parsed.output, /GENERALIZEDTIME\s+:99991231235959Z/);
  });
});

test('openssl verify agrees about who is good for what', { skip }, () => {
  assert.match(verify(device, 'sslclient'), /: OK/);
  assert.match(verify(pki.idevid('0123456789abcdef'), 'sslclient'), /: OK/);
  assert.match(verify(pki.station('line'), 'sslclient'), /: OK/);
  assert.match(verify(pki.serverIdentity(), 'sslserver'), /: OK/);
  assert.match(verify(device, 'sslserver'), /unsuitable certificate purpose/);
  assert.match(verify(pki.serverIdentity(), 'sslclient'), /unsuitable certificate purpose/);
  assert.match(verify(forged(device), 'sslclient'), /certificate signature failure/);
  assert.match(verify(pki.ldevid('x', { notAfterMs: 0 }), 'sslclient'), /certificate has expired/);
  const names = [ext.subjectAltName([{ kind: 'dNSName', text: 'localhost' }])];
  const claims = pki.ldevid('x', { moreExtensions: names });
  assert.match(verify(claims, 'sslclient'), /excluded subtree violation/);
  const above = pki.factory
    .issueAuthority('Below')
    .issue({ subject: encodeName(), extensions: [] });
  assert.match(verify(above, 'sslclient'), /path length constraint exceeded/);
});

test('openssl verifies every algorithm it knows', { skip }, () => {
  for (const algorithm of [
    'ecdsa-with-SHA384',
    'ecdsa-with-SHA512',
    'Ed25519',
    'sha256WithRSAEncryption',
  ] as const) {
    const root = testRoot('Root', { key: testKey(algorithm) });
    const leaf = root.issue({
      subject: encodeName(['commonName', 'leaf']),
      extensions: [ext.keyUsage('digitalSignature')],
    });
    assert.match(verify(leaf, 'sslclient', root), /: OK/, algorithm);
  }
});

test('openssl req verifies requests and prints their attributes', { skip }, () => {
  const request = testRequest(testKey(), {
    subject: encodeName(['organizationName', 'Owner'], ['serialNumber', '42']),
    challengePassword: 'pass phrase',
    extensions: [ext.keyUsage('digitalSignature'), ext.extKeyUsage(ext.keyPurposes.clientAuth)],
  });
  const altered = request.slice();
  altered[altered.length - 5] = (altered.at(-5) ?? 0) ^ 1;
  withFiles({ 'request.der': request, 'altered.der': altered }, (path) => {
    const { status, output } = openssl(
      'req -inform DER -verify -noout -text -in',
      path('request.der'),
    );
    assert.equal(status, 0);
    assert.match(output, /verify OK/);
    assert.match(output, /Subject: O = Owner, serialNumber = 42/);
    assert.match(output, /challengePassword\s+:pass phrase/);
    assert.match(output, /TLS Web Client Authentication/);
    assert.doesNotMatch(
      openssl('req -inform DER -verify -noout -in', path('altered.der')).output,
      /verify OK/,
    );
  });
});

test('node: issuers, signatures, names of a server, and ML-DSA', () => {
  const leaf = new X509Certificate(device.pem);
  const issuer = new X509Certificate(pki.operational.pem);
  assert.ok(leaf.checkIssued(issuer));
  assert.ok(leaf.verify(issuer.publicKey));
  assert.ok(issuer.ca && !leaf.ca);
  assert.deepEqual(leaf.keyUsage, ['1.3.6.1.5.5.7.3.2']);
  const server = new X509Certificate(
    pki.serverIdentity(['example.com', '192.0.2.1', '2001:db8::1']).pem,
  );
  assert.equal(server.checkHost('example.com'), 'example.com');
  assert.equal(server.checkIP('192.0.2.1'), '192.0.2.1');
  assert.equal(server.checkIP('2001:db8::1'), '2001:db8::1');
  assert.equal(checkServerIdentity('example.com', server.toLegacyObject()), undefined);
  const quantum = testRoot('Root', { key: testKey('ML-DSA-44') });
  const issued = new X509Certificate(quantum.issue({ subject: encodeName(), extensions: [] }).pem);
  assert.ok(issued.verify(new X509Certificate(quantum.pem).publicKey));
});

const certtool = spawnSync('certtool', ['--version'], { encoding: 'utf8' });
const gnutlsMissing = certtool.status === 0 ? false : 'needs certtool (Debian package gnutls-bin)';

test('certtool verifies the chain, and refuses a forged one', { skip: gnutlsMissing }, () => {
  const judge = (identity: TestIdentity): string =>
    withFiles({ 'anchor.pem': pki.root.pem, 'chain.pem': identity.chainPem }, (path) => {
      const words = [
        '--verify',
        '--load-ca-certificate',
        path('anchor.pem'),
        '--infile',
        path('chain.pem'),
      ];
      return spawnSync('certtool', words, { encoding: 'utf8' }).stdout;
    });
  assert.match(judge(device), /Chain verification output: Verified\. The certificate is trusted/);
  assert.match(judge(forged(device)), /Not verified/);
});
