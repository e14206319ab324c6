/** CRLs and OCSP answers of ours, judged by openssl; OCSP requests of openssl, read by us. */
import assert from 'node:assert/strict';
import { createHash, sign } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { toHex } from '../../src/wire/bytes/hex.ts';
import {
  type CertificateListFields,
  encodeCertificateList,
  encodeRevokedEntry,
  encodeTbsCertList,
  findRevoked,
  parseCertificateList,
  revokedEntries,
} from '../../src/wire/crl/certificateList.ts';
import { readDer } from '../../src/wire/der/reader.ts';
import * as der from '../../src/wire/der/writer.ts';
import { encodeOcspRequest, parseOcspRequest } from '../../src/wire/ocsp/request.ts';
import {
  type CertStatus,
  encodeOcspResponse,
  encodeResponseData,
  encodeUnsuccessful,
  parseOcspResponse,
} from '../../src/wire/ocsp/response.ts';
import { openssl, opensslMissing, withFiles } from '../support/openssl.ts';

const ecdsaWithSha256 = der.sequence(der.oid('1.2.840.10045.4.3.2'));
const thisUpdateMs = Date.UTC(2026, 0, 2, 3, 4, 5);
const nextUpdateMs = Date.UTC(2036, 0, 2, 3, 4, 5);
const serialNumber = Uint8Array.of(0xa1, 2, 3, 4, 5, 6, 7, 8);
const otherSerial = Uint8Array.of(0x11, 2, 3);

interface Issuer {
  readonly certificate: Uint8Array;
  readonly pem: string;
  readonly keyPem: string;
  readonly name: Uint8Array;
  readonly keyHash: Uint8Array;
}

function makeIssuer(): Issuer {
  return withFiles({}, (path) => {
    const made = openssl(
      'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes',
      '-subj /O=Maker/CN=Test-authority -days 3650',
      '-keyout',
      path('key.pem'),
      '-out',
      path('ca.pem'),
    );
    assert.equal(made.status, 0, made.output);
    const pem = readFileSync(path('ca.pem'), 'utf8');
    const certificate = Buffer.from(pem.replaceAll(/-----[^-]+-----|\s/g, ''), 'base64');
    return {
      certificate,
      pem,
      keyPem: readFileSync(path('key.pem'), 'utf8'),
      ...namesOf(certificate),
    };
  });
}

function namesOf(certificate: Uint8Array): { name: Uint8Array; keyHash: Uint8Array } {
  return readDer(certificate, (reader) =>
    reader.sequence((outer) => {
      const found = outer.sequence((tbs) => {
        tbs.element();
        tbs.element();
        tbs.element();
        tbs.element();
        tbs.element();
        const name = tbs.element();
        const point = tbs.sequence((spki) => {
          spki.element();
          return spki.bitStringOctets();
        });
        while (!tbs.atEnd) tbs.element();
        return { name, keyHash: createHash('sha1').update(point).digest() };
      });
      outer.element();
      outer.element();
      return found;
    }),
  );
}

function signedList(issuer: Issuer, fields: Partial<CertificateListFields>): Uint8Array {
  const tbs = encodeTbsCertList({
    signatureAlgorithm: ecdsaWithSha256,
    issuer: issuer.name,
    thisUpdateMs,
    nextUpdateMs,
    entries: [],
    authorityKeyIdentifier: issuer.keyHash,
    crlNumber: 300,
    ...fields,
  });
  return encodeCertificateList(tbs, ecdsaWithSha256, sign('sha256', tbs, issuer.keyPem));
}

test('openssl crl verifies and prints a list of ours', { skip: opensslMissing }, () => {
  const issuer = makeIssuer();
  const list = signedList(issuer, {
    entries: [
      encodeRevokedEntry({ serialNumber, revokedAtMs: thisUpdateMs, reason: 'keyCompromise' }),
      encodeRevokedEntry({ serialNumber: otherSerial, revokedAtMs: thisUpdateMs }),
    ],
    issuingDistributionPoint: {
      uri: 'http://crl.maker.example/operational/7.crl',
      onlyContainsUserCerts: true,
    },
  });
  withFiles({ 'list.der': list, 'ca.pem': issuer.pem }, (path) => {
    const { output } = openssl(
      'crl -inform DER -in',
      path('list.der'),
      '-noout -text',
      '-CAfile',
      path('ca.pem'),
    );
    assert.match(output, /verify OK/);
    assert.match(output, /Serial Number: A102030405060708/);
    assert.match(output, /Key Compromise/);
    assert.match(output, /Serial Number: 110203\b/);
    assert.match(output, /X509v3 CRL Number: \n\s+300/);
    assert.match(output, /Issuing Distribution Point: critical/);
    assert.match(output, /URI:http:\/\/crl\.maker\.example\/operational\/7\.crl/);
    assert.match(output, /Only User Certificates/);
  });
});

test('what was written is what is read', { skip: opensslMissing }, () => {
  const issuer = makeIssuer();
  const entry = { serialNumber, revokedAtMs: thisUpdateMs, reason: 'superseded' } as const;
  const list = parseCertificateList(
    signedList(issuer, {
      entries: [encodeRevokedEntry(entry)],
      issuingDistributionPoint: { uri: 'http://x.example/1.crl' },
    }),
  );
  assert.deepEqual([...revokedEntries(list)], [entry]);
  assert.equal(findRevoked(list, otherSerial), undefined);
  assert.equal(findRevoked(list, serialNumber)?.reason, 'superseded');
  assert.equal(list.nextUpdateMs, nextUpdateMs);
  assert.equal(list.issuingDistributionPoint?.uri, 'http://x.example/1.crl');
  assert.equal(toHex(list.crlNumber ?? new Uint8Array()), '012c');
});

test(
  'RFC 5280 §5.1.2.6: an empty list has no revokedCertificates',
  { skip: opensslMissing },
  () => {
    const issuer = makeIssuer();
    const list = signedList(issuer, {});
    withFiles({ 'list.der': list, 'ca.pem': issuer.pem }, (path) => {
      const { output } = openssl(
        'crl -inform DER -in',
        path('list.der'),
        '-noout -text',
        '-CAfile',
        path('ca.pem'),
      );
      assert.match(output, /verify OK/);
      assert.match(output, /No Revoked Certificates/);
    });
    assert.deepEqual([...revokedEntries(parseCertificateList(list))], []);
  },
);

test('a scope that limits nothing is the caller’s mistake', () => {
  assert.throws(
    () =>
      encodeTbsCertList({
        signatureAlgorithm: ecdsaWithSha256,
        issuer: der.sequence(),
        thisUpdateMs,
        nextUpdateMs,
        entries: [],
        authorityKeyIdentifier: new Uint8Array(20),
        crlNumber: 1,
        issuingDistributionPoint: {},
      }),
    { name: 'TypeError', message: /RFC 5280 §5\.2\.5/ },
  );
});

test('openssl ocsp asks, we answer, openssl believes', { skip: opensslMissing }, () => {
  const issuer = makeIssuer();
  const statuses: ReadonlyArray<readonly [CertStatus, RegExp]> = [
    [{ kind: 'good' }, /: good/],
    [{ kind: 'unknown' }, /: unknown/],
    [
      { kind: 'revoked', revokedAtMs: thisUpdateMs, reason: 'cessationOfOperation' },
      /: revoked[\s\S]*Reason: cessationOfOperation/,
    ],
  ];
  withFiles({ 'ca.pem': issuer.pem }, (path) => {
    for (const digest of ['-sha1', '-sha256']) {
      const asked = openssl(
        'ocsp',
        digest,
        '-issuer',
        path('ca.pem'),
        '-serial',
        `0x${toHex(serialNumber)}`,
        '-nonce -reqout',
        path('request.der'),
      );
      assert.equal(asked.status, 0, asked.output);
      const request = parseOcspRequest(readFileSync(path('request.der')));
      const [certId] = request.certIds;
      assert.ok(certId);
      assert.equal(toHex(certId.serialNumber), toHex(serialNumber));
      assert.equal(certId.hashAlgorithm, digest === '-sha1' ? 'SHA-1' : 'SHA-256');
      assert.ok(request.nonce !== undefined && request.nonce.length >= 16);
      for (const [status, expected] of statuses) {
        const nowMs = Date.now();
        const data = encodeResponseData({
          responderKeyHash: issuer.keyHash,
          producedAtMs: nowMs,
          responses: [
            {
              certId: certId.der,
              status,
              thisUpdateMs: nowMs,
              nextUpdateMs: nowMs + 3_600_000,
            },
          ],
          nonce: request.nonce,
        });
        const signature = sign('sha256', data, issuer.keyPem);
        const response = encodeOcspResponse(data, ecdsaWithSha256, signature);
        withFiles({ 'response.der': response }, (inner) => {
          const answer = `-respin ${inner('response.der')} -CAfile ${path('ca.pem')} -verify_other ${path('ca.pem')}`;
          // With the request openssl compares the nonces, with issuer and serial it names the status.
          const whole = openssl('ocsp -reqin', path('request.der'), answer);
          assert.match(whole.output, /Response verify OK/);
          assert.doesNotMatch(whole.output, /nonce/i);
          const named = openssl(
            `ocsp ${digest} -no_nonce -issuer ${path('ca.pem')} -serial 0x${toHex(serialNumber)}`,
            answer,
          );
          assert.match(named.output, expected);
        });
      }
    }
  });
});

test('an answer is read back; an unsigned one is its status', () => {
  const request = encodeOcspRequest(der.sequence(der.integer(1)));
  assert.throws(() => parseOcspRequest(request), { name: 'MalformedError', format: 'der' });
  assert.equal(parseOcspResponse(encodeUnsuccessful('unauthorized')), 'unauthorized');
  assert.equal(parseOcspResponse(encodeUnsuccessful('tryLater')), 'tryLater');
  const certId = der.sequence(der.integer(9));
  const data = encodeResponseData({
    responderKeyHash: new Uint8Array(20),
    producedAtMs: thisUpdateMs,
    responses: [{ certId, status: { kind: 'good' }, thisUpdateMs, nextUpdateMs }],
    nonce: Uint8Array.of(1, 2, 3),
    extendedRevoke: true,
  });
  const answer = parseOcspResponse(encodeOcspResponse(data, ecdsaWithSha256, Uint8Array.of(1)));
  assert.ok(typeof answer === 'object');
  assert.deepEqual(answer.responses, [
    { certId, status: { kind: 'good' }, thisUpdateMs, nextUpdateMs },
  ]);
  assert.deepEqual(answer.nonce, Uint8Array.of(1, 2, 3));
  assert.deepEqual(answer.responseData, data);
});
