/** C509 certification requests, their templates, and proofs of possession of keys that cannot sign. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nodeCrypto } from '../../../src/drivers/keys/software/nodeCrypto.ts';
import { decompressPoint } from '../../../src/drivers/keys/software/points.ts';
import { SoftwareVerifier } from '../../../src/drivers/keys/software/verifier.ts';
import { concat } from '../../../src/wire/bytes/bytes.ts';
import { fromHex, toHex } from '../../../src/wire/bytes/hex.ts';
import { MalformedError, UnsupportedError } from '../../../src/wire/bytes/malformed.ts';
import {
  encodePossessionProof,
  possessionAlgorithms,
  possessionHash,
  possessionKeyOf,
  possessionMac,
  readPossessionProof,
} from '../../../src/wire/c509/possession.ts';
import {
  c509FromPkcs10,
  parseC509Request,
  pkcs10FromC509,
  prepareNativeRequest,
} from '../../../src/wire/c509/request.ts';
import {
  encodeRequestTemplate,
  parseRequestTemplate,
  type RequestTemplate,
} from '../../../src/wire/c509/requestTemplate.ts';
import * as cbor from '../../../src/wire/cbor/writer.ts';
import * as der from '../../../src/wire/der/writer.ts';
import {
  encodeSignatureAlgorithm,
  signatureAlgorithmOids,
} from '../../../src/wire/x509/algorithms.ts';
import { keyUsage, subjectAltName } from '../../../src/wire/x509/extensions.ts';
import { encodeName, name } from '../../../src/wire/x509/names.ts';
import { parseSpki } from '../../../src/wire/x509/spki.ts';
import { testKey, testPki, testRequest } from '../../support/pki.ts';

const key = testKey();
const verifier = new SoftwareVerifier();
const ecdsa = { oid: signatureAlgorithmOids['ecdsa-with-SHA256'] };
const subject = encodeName(['organizationName', 'Maker'], ['serialNumber', '0123456789abcdef']);

/** A signed PKCS#10 request whose attributes are given as DER. */
function request(...attributes: readonly Uint8Array[]): Uint8Array {
  const info = der.sequence(der.integer(0), subject, key.spki, der.element(0xa0, ...attributes));
  return der.sequence(
    info,
    encodeSignatureAlgorithm('ecdsa-with-SHA256'),
    der.bitString(key.sign(info)),
  );
}

function attribute(oid: string, ...values: readonly Uint8Array[]): Uint8Array {
  return der.sequence(der.oid(oid), der.setOf(...values));
}

function bothWays(pkcs10: Uint8Array): Uint8Array {
  const c509 = c509FromPkcs10(pkcs10, decompressPoint);
  assert.equal(c509[0], 0x87);
  assert.deepEqual(pkcs10FromC509(c509, decompressPoint), pkcs10);
  assert.deepEqual(pkcs10FromC509(c509.subarray(1), decompressPoint), pkcs10);
  return c509;
}

test('PKCS#10 comes back, and its signature still verifies', () => {
  const extensions = [
    keyUsage('digitalSignature'),
    subjectAltName([{ kind: 'dNSName', text: 'a' }]),
  ];
  const pkcs10 = testRequest(key, { subject, challengePassword: 'secret 1', extensions });
  const c509 = bothWays(pkcs10);
  assert.ok(c509.length < pkcs10.length / 1.6, `${c509.length} of ${pkcs10.length}`);
  const { type, request } = parseC509Request(c509, decompressPoint);
  assert.equal(type, 3);
  assert.equal(request.challengePassword, 'secret 1');
  assert.deepEqual(request.requestedExtensions, extensions);
  assert.ok(verifier.verify(key.spki, ecdsa.oid, request.info, request.signature));
});

test('attributes of every kind, in whatever order they stand', () => {
  const pki = testPki();
  const { certificate } = pki.idevid('0123456789abcdef');
  const signer = der.sequence(
    certificate.issuer.der,
    der.unsignedInteger(certificate.serialNumber),
  );
  const possession = '1.3.6.1.4.1.22112.2.1';
  const password = '1.2.840.113549.1.9.7';
  bothWays(request());
  bothWays(request(attribute(password, der.utf8String('é'))));
  bothWays(request(attribute(password, der.printableString('x'))));
  bothWays(request(attribute('1.2.3', der.nullElement), attribute(password, der.utf8String('x'))));
  bothWays(request(attribute(possession, der.sequence(signer))));
  const whole = bothWays(request(attribute(possession, der.sequence(signer, certificate.der))));
  assert.ok(whole.length < certificate.der.length, 'the certificate inside is C509 too');
  // Another string type has no value of its own and goes the general way.
  bothWays(request(attribute(password, der.element(0x1e, fromHex('0041')))));
});

test('a request that would not come back is refused', () => {
  const without = der.sequence(
    der.sequence(der.integer(0), subject, key.spki),
    encodeSignatureAlgorithm('ecdsa-with-SHA256'),
    der.bitString(key.sign(subject)),
  );
  const twoValues = request(attribute('1.2.3', der.nullElement, der.integer(1)));
  for (const pkcs10 of [without, twoValues]) {
    assert.throws(() => c509FromPkcs10(pkcs10, decompressPoint), UnsupportedError);
  }
  assert.throws(() => c509FromPkcs10(subject, decompressPoint), MalformedError);
});

test('a native request is signed as CBOR and read as PKCS#10 is', () => {
  const prepared = prepareNativeRequest({
    signatureAlgorithm: ecdsa,
    subject: name(['organizationName', 'Maker'], ['serialNumber', '0123456789abcdef']),
    publicKey: parseSpki(key.spki),
    challengePassword: 'once',
    extensions: [keyUsage('digitalSignature')],
  });
  const encoded = prepared.finish(key.sign(prepared.toBeSigned));
  const { type, request, encoded: whole } = parseC509Request(encoded, decompressPoint);
  assert.equal(type, 2);
  assert.deepEqual(whole, encoded);
  assert.deepEqual(request.der, encoded);
  assert.deepEqual(request.info, prepared.toBeSigned);
  assert.deepEqual(request.publicKey.spki, key.spki);
  assert.equal(request.challengePassword, 'once');
  assert.deepEqual(request.requestedExtensions, [keyUsage('digitalSignature')]);
  assert.deepEqual(request.subject.der, subject);
  assert.ok(verifier.verify(key.spki, ecdsa.oid, request.info, request.signature));
  const altered = fromHex(toHex(encoded).replace('4d616b6572', '4c616b6572'));
  const other = parseC509Request(altered, decompressPoint).request;
  assert.ok(!verifier.verify(key.spki, ecdsa.oid, other.info, other.signature));
  assert.throws(() => pkcs10FromC509(encoded, decompressPoint), /natively signed/);
});

test('an agree key proves possession by a MAC with the verifier', () => {
  const requester = nodeCrypto.generateKeyPair('P-256');
  const authority = nodeCrypto.generateKeyPair('P-256');
  const agree = (own: typeof requester, peer: typeof requester): Uint8Array => {
    const imported = nodeCrypto.importPublicKey('P-256', peer.publicKey);
    return (imported && nodeCrypto.agree(own, imported)) ?? new Uint8Array();
  };
  const point = decompressPoint('P-256', concat(Uint8Array.of(2), requester.publicKey));
  const spki = concat(key.spki.subarray(0, key.spki.length - 65), point ?? new Uint8Array());
  const names = {
    verifierSubject: name(['commonName', 'Agreement']),
    verifierIssuer: name(['commonName', 'Root']),
  };
  for (const hash of ['SHA-256', 'SHA-384', 'SHA-512'] as const) {
    const prepared = prepareNativeRequest({
      signatureAlgorithm: possessionAlgorithms[hash],
      subject: name(['commonName', 'device']),
      publicKey: parseSpki(spki),
      extensions: [keyUsage('keyAgreement')],
    });
    const { toBeSigned } = prepared;
    const mac = possessionMac(
      nodeCrypto,
      possessionKeyOf(nodeCrypto, agree(requester, authority)),
      {
        hash,
        toBeSigned,
        ...names,
      },
    );
    const verifierName = { issuer: names.verifierIssuer, serialNumber: Uint8Array.of(0x80, 1) };
    for (const proof of [{ mac }, { mac, verifier: verifierName }]) {
      const signature = encodePossessionProof(proof);
      assert.deepEqual(readPossessionProof(signature), proof);
      const { request } = parseC509Request(
        prepare(prepared.toBeSigned, signature),
        decompressPoint,
      );
      assert.equal(possessionHash(request.signatureAlgorithm), hash);
      assert.deepEqual(readPossessionProof(request.signature), proof);
      const expected = possessionMac(
        nodeCrypto,
        possessionKeyOf(nodeCrypto, agree(authority, requester)),
        { hash, toBeSigned: request.info, ...names },
      );
      assert.deepEqual(expected, mac);
    }
    assert.equal(prepared.finish(encodePossessionProof({ mac })).at(-mac.length - 2), 0x58);
    const other = { ...names, verifierSubject: name(['commonName', 'Another']) };
    const key2 = possessionKeyOf(nodeCrypto, agree(authority, requester));
    const wrong = possessionMac(nodeCrypto, key2, { hash, toBeSigned, ...other });
    assert.notDeepEqual(wrong, mac);
  }
  assert.equal(possessionHash(ecdsa), undefined);
});

/** The array with a proof in it, written by hand: DhSigStatic is a byte string or a list of three. */
function prepare(toBeSigned: Uint8Array, signature: Uint8Array): Uint8Array {
  const { mac, verifier: issuerAndSerial } = readPossessionProof(signature);
  const item =
    issuerAndSerial === undefined
      ? cbor.bytes(mac)
      : cbor.array(cbor.text('Root'), cbor.bytes(issuerAndSerial.serialNumber), cbor.bytes(mac));
  return concat(Uint8Array.of(0x87), toBeSigned, item);
}

test('malformed requests are refused', () => {
  const good = [
    '02',
    '00',
    '6161',
    '01',
    toHex(cbor.bytes(concat(Uint8Array.of(2), key.spki.slice(-64, -32)))),
    '80',
    `5840${'01'.repeat(64)}`,
  ];
  const cases: Array<[number, string, RegExp]> = [
    [0, '00', /type 0/],
    [1, '1863', /not registered/],
    [2, 'f6', /tag expected/],
    [5, '01', /array expected/],
    [5, '8101', /without value/],
    [5, '820080', /no extensions/],
    [5, '8201d8796161', /text expected/],
    [5, '820100', /text expected/],
    [5, '820282', /.*/],
    [5, '820281f6', /issuer, serial number and certificate/],
    [5, '84016161016161', /occurs twice/],
    [5, '82422a0341ff', /.*/],
    [6, '4101', /equal length/],
  ];
  for (const [index, replacement, problem] of cases) {
    const items = [...good];
    items[index] = replacement;
    assert.throws(
      () => parseC509Request(fromHex(`87${items.join('')}`), decompressPoint),
      (error) => error instanceof MalformedError && problem.test(error.message),
      `${index} ${replacement}`,
    );
  }
  const unknown = [...good];
  unknown[5] = '820700';
  assert.throws(
    () => parseC509Request(fromHex(`87${unknown.join('')}`), decompressPoint),
    UnsupportedError,
  );
  parseC509Request(fromHex(`87${good.join('')}`), decompressPoint);
});

test('templates say what to use, what to choose from and what to fill in', () => {
  const template: RequestTemplate = {
    requestTypes: [2, 3],
    signatureAlgorithms: [ecdsa, { oid: '1.2.3' }],
    subject: [
      { oid: '2.5.4.10', minimum: 1, maximum: 1, value: 'Maker' },
      { oid: '2.5.4.5', minimum: 1, maximum: 1, value: undefined },
      { oid: '1.2.3', minimum: 0, maximum: 2, value: der.nullElement },
    ],
    publicKeyAlgorithms: [{ oid: '1.2.840.10045.2.1', parameters: der.oid('1.2.840.10045.3.1.7') }],
    extensions: [
      { oid: '2.5.29.15', optional: false, value: cbor.integer(1) },
      {
        oid: '2.5.29.17',
        optional: true,
        value: cbor.array(cbor.integer(7), cbor.bytes(new Uint8Array())),
      },
      { oid: '1.2.3', optional: true, value: undefined },
    ],
  };
  const encoded = encodeRequestTemplate(template);
  assert.equal(encoded[0], 0x87);
  assert.deepEqual(parseRequestTemplate(encoded), template);
  assert.deepEqual(parseRequestTemplate(encoded.subarray(1)), template);
  const open: RequestTemplate = {
    requestTypes: undefined,
    signatureAlgorithms: undefined,
    subject: undefined,
    publicKeyAlgorithms: undefined,
    extensions: undefined,
  };
  assert.equal(toHex(encodeRequestTemplate(open)), '8700f7f7f7f7f7f7');
  assert.deepEqual(parseRequestTemplate(fromHex('8700f7f7f7f7f7f7')), open);
});

test('malformed templates are refused', () => {
  const cases: Array<[string, RegExp]> = [
    ['8700f7f7f7f7f7', /.*/],
    ['870080f7f7f7f7f7', /choice of nothing/],
    ['87008104f7f7f7f7f7', /type 4/],
    ['8700f7811863f7f7f7f7', /not registered/],
    ['8700f7f78120f7f7f7', /cut short/],
    ['8700f7f784200001f7f7f7f7', /unsigned/],
    ['8700f7f784010000f7f7f7f7', /may not occur/],
    ['8700f7f784010201f7f7f7f7', /may not occur/],
    ['8700f7f7f7f74100f7', /public key/],
    ['8700f7f7f7f7f78320f401', /unsigned/],
    ['8700f7f7f7f7f783020101', /simple value/],
    ['8700f7f7f7f7f783422a03f401', /DER expected/],
    ['8700f6f7f7f7f7f7', /undefined expected/],
    ['8700f7f7f7f7f7f7f7', /trailing/],
  ];
  for (const [text, problem] of cases) {
    assert.throws(
      () => parseRequestTemplate(fromHex(text)),
      (error) => error instanceof MalformedError && problem.test(error.message),
      text,
    );
  }
  assert.throws(() => parseRequestTemplate(fromHex('8701f7f7f7f7f7f7')), UnsupportedError);
  const impossible = { oid: '2.5.4.10', minimum: 2, maximum: 1, value: undefined };
  const template = parseRequestTemplate(fromHex('8700f7f7f7f7f7f7'));
  assert.throws(() => encodeRequestTemplate({ ...template, subject: [impossible] }), TypeError);
  assert.throws(() => encodeRequestTemplate({ ...template, requestTypes: [] }), TypeError);
});
