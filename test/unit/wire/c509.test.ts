/** C509 certificates: the draft's examples both ways, certificates of our profiles, and what must be refused. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { decompressPoint } from '../../../src/drivers/keys/software/points.ts';
import { SoftwareVerifier } from '../../../src/drivers/keys/software/verifier.ts';
import { isRefusal } from '../../../src/trust/ports/faults.ts';
import { verifyPath } from '../../../src/trust/peers/paths.ts';
import { concat } from '../../../src/wire/bytes/bytes.ts';
import { fromHex, toHex } from '../../../src/wire/bytes/hex.ts';
import { MalformedError, UnsupportedError } from '../../../src/wire/bytes/malformed.ts';
import { parseC509Certificate } from '../../../src/wire/c509/certificate.ts';
import { c509FromX509, x509FromC509 } from '../../../src/wire/c509/convert.ts';
import { prepareNativeCertificate } from '../../../src/wire/c509/native.ts';
import { specialText } from '../../../src/wire/c509/names.ts';
import { readDer } from '../../../src/wire/der/reader.ts';
import * as der from '../../../src/wire/der/writer.ts';
import { encodeSignatureAlgorithm } from '../../../src/wire/x509/algorithms.ts';
import { parseCertificate } from '../../../src/wire/x509/certificate.ts';
import {
  encodeCertificate,
  encodeTbsCertificate,
} from '../../../src/wire/x509/certificateWriter.ts';
import * as extensions from '../../../src/wire/x509/extensions.ts';
import type { Extension } from '../../../src/wire/x509/model.ts';
import { attributeText, encodeName, parseName } from '../../../src/wire/x509/names.ts';
import { p256Spki } from '../../../src/wire/x509/spki.ts';
import { publishedManifest } from '../../support/manifestVector.ts';
import { testKey, testNowMs, testPki, validFromMs, validUntilMs } from '../../support/pki.ts';
import { EntrySplitter } from '../../../src/wire/manifest/splitter.ts';
import { readEntry } from '../../../src/wire/manifest/entry.ts';

const vectors = JSON.parse(
  readFileSync(join(import.meta.dirname, '../../vectors/c509/certificates.json'), 'utf8'),
) as Record<string, { readonly x509?: string; readonly c509: string }>;

/** SOURCE.md of the vectors. */
const issuerPoint = fromHex('02ae4cdb01f614defc7121285fdc7f5c6d1d42c95647f061ba0080df678867845e');

const pki = testPki();
const key = testKey();
const algorithm = encodeSignatureAlgorithm('ecdsa-with-SHA256');

interface Parts {
  readonly serialNumber?: Uint8Array;
  readonly issuer?: Uint8Array;
  readonly subject?: Uint8Array;
  readonly spki?: Uint8Array;
  readonly notBeforeMs?: number;
  readonly notAfterMs?: number;
  readonly extensions?: readonly Extension[];
  readonly signature?: Uint8Array;
}

function certificate(parts: Parts = {}): Uint8Array {
  const tbs = encodeTbsCertificate({
    serialNumber: Uint8Array.of(0x41, 2, 3),
    signatureAlgorithm: algorithm,
    issuer: encodeName(['commonName', 'Issuer']),
    notBeforeMs: validFromMs,
    notAfterMs: validUntilMs,
    subject: encodeName(['commonName', 'Subject']),
    spki: key.spki,
    ...parts,
    extensions: (parts.extensions ?? []).map(extensions.encodeExtension),
  });
  return encodeCertificate(tbs, algorithm, parts.signature ?? key.sign(tbs));
}

/** The certificate with one octet string in it replaced by another, lengths mended by hand. */
function replaced(input: Uint8Array, from: string, to: string): Uint8Array {
  const text = toHex(input);
  assert.ok(text.includes(from), `${from} is not in the certificate`);
  return fromHex(text.replace(from, to));
}

function bothWays(x509: Uint8Array): Uint8Array {
  const c509 = c509FromX509(x509, decompressPoint);
  assert.deepEqual(x509FromC509(c509, decompressPoint), x509);
  return c509;
}

for (const [name, { x509, c509 }] of Object.entries(vectors)) {
  if (x509 === undefined) continue;
  test(`${name}: both ways`, () => {
    assert.equal(toHex(c509FromX509(fromHex(x509), decompressPoint)), c509);
    assert.equal(toHex(x509FromC509(fromHex(c509), decompressPoint)), x509);
  });
  test(`${name}: the older sequence is read too`, () => {
    const read = parseC509Certificate(fromHex(c509.slice(2)), decompressPoint);
    assert.equal(toHex(read.encoded), c509);
    assert.equal(toHex(read.certificate.der), x509);
  });
}

test('the examples have the published sizes', () => {
  assert.equal(vectors['rfc7925']?.c509.length, 2 * 141);
  assert.equal(vectors['rfc7925-native']?.c509.length, 2 * 141);
  assert.equal(vectors['ieee802.1ar']?.c509.length, 2 * 276);
});

test('the native example verifies under its issuer key, and one bit less does not', () => {
  const native = fromHex(vectors['rfc7925-native']?.c509 ?? '');
  const { type, certificate, encoded } = parseC509Certificate(native, decompressPoint);
  assert.equal(type, 2);
  assert.deepEqual(encoded, native);
  assert.deepEqual(certificate.tbs, native.subarray(1, native.length - 66));
  assert.equal(attributeText(certificate.subject, 'commonName'), '01-23-45-FF-FE-67-89-AB');
  const spki = p256Spki(decompressPoint('P-256', issuerPoint) ?? new Uint8Array());
  const verifier = new SoftwareVerifier();
  const { oid } = certificate.signatureAlgorithm;
  assert.ok(verifier.verify(spki, oid, certificate.tbs, certificate.signature));
  const altered = certificate.tbs.slice();
  altered[20] = (altered[20] ?? 0) ^ 1;
  assert.ok(!verifier.verify(spki, oid, altered, certificate.signature));
  assert.throws(() => x509FromC509(native, decompressPoint), /natively signed/);
});

test('the native example is made again from its values', () => {
  const native = fromHex(vectors['rfc7925-native']?.c509 ?? '');
  const { certificate } = parseC509Certificate(native, decompressPoint);
  const prepared = prepareNativeCertificate(certificate);
  assert.deepEqual(prepared.toBeSigned, certificate.tbs);
  assert.deepEqual(prepared.finish(certificate.signature), native);
  assert.throws(() => prepared.finish(certificate.signature), TypeError);
});

test('certificates of every profile of ours come back', () => {
  const identities = [
    pki.root,
    pki.factory,
    pki.operational,
    pki.server,
    pki.idevid('0123456789abcdef'),
    pki.idevid('zzzz456789abcdex'),
    pki.ldevid('0123456789abcdex'),
    pki.serverIdentity(),
    pki.serverIdentity(['example.com']),
    pki.station('line 1'),
    pki.application('app'),
  ];
  for (const { certificate } of identities) {
    const c509 = bothWays(certificate.der);
    assert.ok(c509.length < certificate.der.length * 0.62, `${c509.length}`);
  }
});

test('any certificate of ours comes back', () => {
  const text = fc.oneof(
    fc.string({ minLength: 1, maxLength: 20 }),
    fc.stringMatching(/^[0-9a-f]{2,20}$/),
    fc.stringMatching(/^[0-9A-F]{2}(-[0-9A-F]{2}){7}$/),
    fc.constant('01-23-45-FF-FE-67-89-AB'),
  );
  const part = fc.oneof(
    fc.tuple(fc.constantFrom('commonName', 'organizationName', 'localityName'), text),
    fc.tuple(fc.constantFrom('2.5.4.13', '1.2.3.4.5'), text),
    fc.tuple(fc.constant('serialNumber'), fc.stringMatching(/^[0-9a-z]{1,20}$/)),
    fc.tuple(fc.constant('emailAddress'), fc.stringMatching(/^[a-z]{1,9}@[a-z]{1,9}$/)),
  ) as fc.Arbitrary<[never, string]>;
  const name = fc.array(part, { maxLength: 4 });
  const extension = fc.oneof(
    fc
      .uniqueArray(fc.constantFrom(...extensions.keyUsages), { minLength: 1 })
      .map((usages) => extensions.keyUsage(...usages)),
    fc.nat(9).map((pathLength) => extensions.basicConstraints({ ca: true, pathLength })),
    fc.uint8Array({ maxLength: 40 }).map(extensions.subjectKeyIdentifier),
    fc.uint8Array({ maxLength: 40 }).map(extensions.authorityKeyIdentifier),
    fc
      .array(fc.domain(), { minLength: 1, maxLength: 3 })
      .map((names) => extensions.subjectAltName(names.map((text) => ({ kind: 'dNSName', text })))),
    fc
      .array(fc.webUrl(), { minLength: 1, maxLength: 3 })
      .map((uris) => extensions.cRLDistributionPoints(...uris)),
    fc.record({
      oid: fc.constantFrom('1.2.3.4', '2.5.29.9', '2.5.29.15', '2.5.29.37'),
      critical: fc.boolean(),
      value: fc.uint8Array({ maxLength: 20 }),
    }),
  );
  fc.assert(
    fc.property(
      name,
      name,
      fc.uint8Array({ minLength: 1, maxLength: 20 }),
      fc.uniqueArray(extension, { maxLength: 5, selector: ({ oid }) => oid }),
      fc.integer({ min: 0, max: 253_402_300_799 }),
      fc.integer({ min: 0, max: 253_402_300_799 }),
      fc.tuple(fc.bigInt(1n, (1n << 256n) - 1n), fc.bigInt(1n, (1n << 256n) - 1n)),
      (issuer, subject, serialNumber, list, notBeforeS, notAfterS, [r, s]) => {
        const signature = der.sequence(
          ...[r, s].map((value) => der.unsignedInteger(bytesOf(value))),
        );
        const x509 = certificate({
          issuer: encodeName(...issuer),
          subject: encodeName(...subject),
          serialNumber,
          extensions: list,
          notBeforeMs: notBeforeS * 1000,
          notAfterMs: notAfterS * 1000,
          signature,
        });
        bothWays(x509);
      },
    ),
    { numRuns: 200 },
  );
});

function bytesOf(value: bigint): Uint8Array {
  return fromHex(value.toString(16).padStart(64, '0'));
}

test('a compressed point, another curve, RSA, Ed25519 and ML-DSA keys and signatures', () => {
  for (const name of [
    'ecdsa-with-SHA384',
    'ecdsa-with-SHA512',
    'Ed25519',
    'ML-DSA-44',
    'sha256WithRSAEncryption',
  ] as const) {
    const other = testKey(name);
    const signatureAlgorithm = encodeSignatureAlgorithm(name);
    const tbs = encodeTbsCertificate({
      serialNumber: Uint8Array.of(1),
      signatureAlgorithm,
      issuer: encodeName(['commonName', 'x']),
      notBeforeMs: validFromMs,
      notAfterMs: validUntilMs,
      subject: encodeName(['commonName', 'x']),
      spki: other.spki,
      extensions: [],
    });
    const x509 = encodeCertificate(tbs, signatureAlgorithm, other.sign(tbs));
    const c509 = bothWays(x509);
    assert.ok(c509.length < x509.length, name);
  }
  const compressed = der.sequence(
    der.sequence(der.oid('1.2.840.10045.2.1'), der.oid('1.2.840.10045.3.1.7')),
    der.bitString(concat(Uint8Array.of(2), key.spki.slice(-64, -32))),
  );
  bothWays(certificate({ spki: compressed }));
});

test('a point off its curve is kept whole', () => {
  const spki = key.spki.slice();
  spki[spki.length - 1] = (spki[spki.length - 1] ?? 0) ^ 1;
  const c509 = bothWays(certificate({ spki }));
  assert.ok(toHex(c509).includes(toHex(spki.slice(-65))));
});

test('a serial number keeps its sign and its zero', () => {
  for (const serial of ['00', '7f', '80', 'ff00', '8000000000000001']) {
    bothWays(certificate({ serialNumber: fromHex(serial) }));
  }
});

test('what cannot come back is refused with the reason', () => {
  const [text] = new EntrySplitter().push(publishedManifest);
  assert.ok(text);
  const leaf = readEntry(text).record.keys[0]?.certificates[0] ?? new Uint8Array();
  const plain = certificate();
  const attribute = (type: string, tag: number, value: Uint8Array): Uint8Array =>
    der.sequence(der.oid(type), der.element(tag, value));
  const cn = (tag: number, value: string): Uint8Array =>
    attribute('2.5.4.3', tag, new TextEncoder().encode(value));
  const cases: Array<[Uint8Array, RegExp]> = [
    [leaf, /GeneralizedTime for a date before 2050/],
    [certificate({ notBeforeMs: -86_400_000 }), /before 1970/],
    [replaced(plain, 'a0030201020203410203', 'a0030201020203c10203'), /negative serial/],
    [
      certificate({ subject: der.sequence(der.setOf(cn(12, 'a'), cn(12, 'b'))) }),
      /several attributes/,
    ],
    [certificate({ subject: der.sequence(der.setOf(cn(0x1e, '\0a'))) }), /BMPString/],
    [certificate({ subject: der.sequence(der.setOf(cn(0x14, 'a'))) }), /TeletexString/],
    [certificate({ signature: fromHex('3006020101020101ff') }), /form of its algorithm/],
    [certificate({ signature: new Uint8Array(64) }), /form of its algorithm/],
  ];
  for (const [x509, reason] of cases) {
    assert.throws(
      () => c509FromX509(x509, decompressPoint),
      (error) => error instanceof UnsupportedError && reason.test(error.message),
      String(reason),
    );
  }
  assert.throws(() => c509FromX509(plain.subarray(1), decompressPoint), MalformedError);
});

test('version 1 and unique identifiers are refused', () => {
  const plain = certificate();
  const tbs = readDer(plain, (reader) =>
    reader.sequence((content) => {
      const value = content.element();
      content.element();
      content.element();
      return value;
    }),
  );
  const body = readDer(tbs, (reader) => reader.any().content);
  const rebuilt = (content: Uint8Array): Uint8Array =>
    encodeCertificate(der.sequence(content), algorithm, key.sign(content));
  const uniqueId = fromHex('81020001');
  const version1 = rebuilt(body.subarray(5));
  assert.equal(parseCertificate(version1).version, 1);
  assert.throws(() => c509FromX509(version1, decompressPoint), /version 1/);
  const unique = rebuilt(concat(body, uniqueId));
  assert.throws(() => c509FromX509(unique, decompressPoint), /UniqueID/);
});

test('names: hexadecimal text, EUI-64, and text', () => {
  const cases: Array<[string, string]> = [
    ['ab', '41ab'],
    ['0123456789abcdef', '480123456789abcdef'],
    ['abc', '63616263'],
    ['AB', '624142'],
    ['', '60'],
    ['01-23-45-FF-FE-67-89-AB', 'd830460123456789ab'],
    ['01-23-45-67-89-AB-CD-EF', 'd830480123456789abcdef'],
    ['01-23-45-ff-FE-67-89-AB', `77${toHex(new TextEncoder().encode('01-23-45-ff-FE-67-89-AB'))}`],
  ];
  for (const [text, item] of cases) assert.equal(toHex(specialText(text)), item, text);
});

test('the path rules take natively signed certificates', () => {
  const verifier = new SoftwareVerifier();
  const root = testKey();
  const rootName = parseName(encodeName(['commonName', 'Native Root']));
  const native = (
    issuer: typeof root,
    spki: Uint8Array,
    subject: string,
    list: readonly Extension[],
  ): Uint8Array => {
    const x509 = parseCertificate(
      certificate({
        spki,
        issuer: rootName.der,
        subject: encodeName(['commonName', subject]),
        extensions: list,
      }),
    );
    const prepared = prepareNativeCertificate(x509);
    return prepared.finish(issuer.sign(prepared.toBeSigned));
  };
  const authority = [extensions.basicConstraints({ ca: true }), extensions.keyUsage('keyCertSign')];
  const leafKey = testKey();
  const leafOf = (signer: typeof root): Uint8Array =>
    native(signer, leafKey.spki, 'device', [
      extensions.keyUsage('digitalSignature'),
      extensions.extKeyUsage(extensions.keyPurposes.clientAuth),
    ]);
  const parse = (encoded: Uint8Array) => parseC509Certificate(encoded, decompressPoint).certificate;
  const anchor = {
    certificate: parse(native(root, root.spki, 'Native Root', authority)),
    kinds: ['ldevid'] as const,
  };
  const rules = { anchors: [anchor], intermediates: [] };
  const path = verifyPath([parse(leafOf(root))], rules, verifier, testNowMs);
  assert.ok(!isRefusal(path), JSON.stringify(path));
  const forged = verifyPath([parse(leafOf(leafKey))], rules, verifier, testNowMs);
  assert.equal(isRefusal(forged) && forged.refused, 'bad-signature');
});
