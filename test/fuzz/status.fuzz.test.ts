/** Certificate revocation lists and OCSP messages. */
import {
  encodeCertificateList,
  encodeRevokedEntry,
  encodeTbsCertList,
  parseCertificateList,
  revokedEntries,
} from '../../src/wire/crl/certificateList.ts';
import * as der from '../../src/wire/der/writer.ts';
import { encodeCertId, encodeOcspRequest, parseOcspRequest } from '../../src/wire/ocsp/request.ts';
import {
  encodeOcspResponse,
  encodeResponseData,
  encodeUnsuccessful,
  parseOcspResponse,
} from '../../src/wire/ocsp/response.ts';
import { fuzz } from '../support/fuzz.ts';

const algorithm = der.sequence(der.oid('1.2.840.10045.4.3.2'));
const serialNumber = Uint8Array.of(0x81, 2, 3);
const thisUpdateMs = Date.UTC(2026, 0, 1);
const nextUpdateMs = Date.UTC(2026, 0, 8);

const list = encodeCertificateList(
  encodeTbsCertList({
    signatureAlgorithm: algorithm,
    issuer: der.sequence(),
    thisUpdateMs,
    nextUpdateMs,
    entries: [
      encodeRevokedEntry({ serialNumber, revokedAtMs: thisUpdateMs, reason: 'superseded' }),
    ],
    authorityKeyIdentifier: new Uint8Array(20),
    crlNumber: 7,
    issuingDistributionPoint: { uri: 'http://x.example/7.crl', onlyContainsUserCerts: true },
  }),
  algorithm,
  Uint8Array.of(1, 2),
);

fuzz({
  name: 'crl',
  valid: [list],
  read: (input) => [...revokedEntries(parseCertificateList(input))],
});

const certId = encodeCertId({
  hashAlgorithm: 'SHA-256',
  issuerNameHash: new Uint8Array(32),
  issuerKeyHash: new Uint8Array(32),
  serialNumber,
});

fuzz({
  name: 'ocsp-request',
  valid: [encodeOcspRequest(certId), encodeOcspRequest(certId, Uint8Array.of(1, 2, 3))],
  read: parseOcspRequest,
});

const answer = encodeOcspResponse(
  encodeResponseData({
    responderKeyHash: new Uint8Array(20),
    producedAtMs: thisUpdateMs,
    responses: [
      { certId, status: { kind: 'good' }, thisUpdateMs, nextUpdateMs },
      { certId, status: { kind: 'revoked', revokedAtMs: 0 }, thisUpdateMs, nextUpdateMs },
    ],
    nonce: Uint8Array.of(1),
  }),
  algorithm,
  Uint8Array.of(1, 2),
  [der.sequence()],
);

fuzz({
  name: 'ocsp-response',
  valid: [answer, encodeUnsuccessful('tryLater')],
  read: parseOcspResponse,
});
