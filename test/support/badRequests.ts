/** Certification requests as nobody should send them: a table for every door that takes one. */
import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { concat } from '../../src/wire/bytes/bytes.ts';
import { utf8 } from '../../src/wire/bytes/utf8.ts';
import { tags } from '../../src/wire/der/tags.ts';
import * as der from '../../src/wire/der/writer.ts';
import {
  encodeSignatureAlgorithm,
  type SignatureAlgorithmName,
} from '../../src/wire/x509/algorithms.ts';
import { requestAttributeOids } from '../../src/wire/x509/certificationRequest.ts';
import * as ext from '../../src/wire/x509/extensions.ts';
import type { Extension } from '../../src/wire/x509/model.ts';
import { encodeName } from '../../src/wire/x509/names.ts';

export interface OddRequest {
  readonly name: string;
  readonly der: Uint8Array;
}

interface Parts {
  readonly version?: Uint8Array;
  readonly subject?: Uint8Array;
  readonly spki?: Uint8Array;
  /** DER of each Attribute. */
  readonly attributes?: readonly Uint8Array[];
  readonly algorithm?: SignatureAlgorithmName;
  /** From the right one. */
  readonly signature?: (signature: Uint8Array) => Uint8Array;
}

export interface RequestKey {
  readonly privateKey: KeyObject;
  readonly spki: Uint8Array;
}

export function requestKey(curve = 'prime256v1'): RequestKey {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: curve });
  return { privateKey, spki: new Uint8Array(publicKey.export({ format: 'der', type: 'spki' })) };
}

function request(key: RequestKey, parts: Parts = {}): Uint8Array {
  const info = der.sequence(
    parts.version ?? der.integer(0),
    parts.subject ?? encodeName(),
    parts.spki ?? key.spki,
    der.implicit(0, der.setOf(...(parts.attributes ?? []))),
  );
  const right = new Uint8Array(sign('sha256', info, key.privateKey));
  const algorithm = encodeSignatureAlgorithm(parts.algorithm ?? 'ecdsa-with-SHA256');
  return der.sequence(info, algorithm, der.bitString(parts.signature?.(right) ?? right));
}

function attribute(type: string, ...values: readonly Uint8Array[]): Uint8Array {
  return der.sequence(der.oid(type), der.setOf(...values));
}

function extensions(...list: readonly Extension[]): Uint8Array {
  const value = der.sequence(...list.map(ext.encodeExtension));
  return attribute(requestAttributeOids.extensionRequest, value);
}

function subjectOf(type: string, value: Uint8Array): Uint8Array {
  return der.sequence(der.setOf(der.sequence(der.oid(type), value)));
}

const unknown = (number: number, bytes = 1, critical = false): Extension => ({
  oid: `1.3.6.1.4.1.32473.${number}`,
  critical,
  value: der.octetString(new Uint8Array(bytes)),
});
const commonName = '2.5.4.3';
const noName = encodeName();

/** Each is refused, by every door, with nothing left behind. */
export function badRequests(): readonly OddRequest[] {
  const key = requestKey();
  const good = request(key);
  const of = (name: string, parts: Parts): OddRequest => ({ name, der: request(key, parts) });
  return [
    ...badSignatures(key, of),
    ...badKeys(of),
    ...badAttributes(of),
    of('a name of 64 KiB', { subject: subjectOf(commonName, der.utf8String('x'.repeat(65_536))) }),
    of('a name of 33 parts', {
      subject: der.sequence(
        ...Array.from({ length: 33 }, () =>
          der.setOf(der.sequence(der.oid(commonName), der.utf8String('x'))),
        ),
      ),
    }),
    of('an empty part of a name', { subject: der.sequence(der.setOf()) }),
    of('version 2', { version: der.integer(1) }),
    { name: 'nothing', der: new Uint8Array(0) },
    { name: 'an empty sequence', der: der.sequence() },
    { name: 'a name alone', der: noName },
    { name: 'something behind it', der: concat(good, Uint8Array.of(0)) },
    {
      name: 'indefinite length',
      der: concat(Uint8Array.of(0x30, 0x80), good.subarray(4), Uint8Array.of(0, 0)),
    },
    {
      name: 'a longer length than needed',
      der: concat(Uint8Array.of(0x30, 0x83, 0), good.subarray(2)),
    },
    {
      name: 'a length beyond its end',
      der: concat(Uint8Array.of(0x30, 0x84, 0x7f, 255, 255, 255), good.subarray(4)),
    },
    { name: 'two requests', der: concat(good, good) },
    ...[1, 2, 5, 40, good.length >> 1, good.length - 1].map((length) => ({
      name: `cut off after ${length} bytes`,
      der: good.slice(0, length),
    })),
  ];
}

function badSignatures(
  key: RequestKey,
  of: (name: string, parts: Parts) => OddRequest,
): readonly OddRequest[] {
  const other = requestKey();
  return [
    of('a bit of the signature changed', {
      signature: (right) => right.map((octet, at) => (at === right.length - 1 ? octet ^ 1 : octet)),
    }),
    of('the signature of another key', {
      signature: (right) => new Uint8Array(sign('sha256', right, other.privateKey)),
    }),
    of('another key in front of the signature', { spki: other.spki }),
    of('no signature', { signature: () => new Uint8Array(0) }),
    of('r and s of zero', { signature: () => der.sequence(der.integer(0), der.integer(0)) }),
    of('r and s as plain numbers', {
      signature: () =>
        new Uint8Array(sign('sha256', noName, { key: key.privateKey, dsaEncoding: 'ieee-p1363' })),
    }),
    of('another algorithm than that of the signature', { algorithm: 'ecdsa-with-SHA384' }),
    of('Ed25519 beside a key on a curve', { algorithm: 'Ed25519' }),
  ];
}

function badKeys(of: (name: string, parts: Parts) => OddRequest): readonly OddRequest[] {
  const curves = ['secp384r1', 'secp521r1', 'secp256k1', 'brainpoolP256r1', 'secp224r1'];
  const p256 = der.sequence(der.oid('1.2.840.10045.2.1'), der.oid('1.2.840.10045.3.1.7'));
  const point = (octets: Uint8Array): Uint8Array => der.sequence(p256, der.bitString(octets));
  const filled = (first: number, length: number): Uint8Array =>
    Uint8Array.from({ length }, (_, at) => (at === 0 ? first : 7));
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey;
  const ed25519 = generateKeyPairSync('ed25519').publicKey;
  const plain = (publicKey: KeyObject): Uint8Array =>
    new Uint8Array(publicKey.export({ format: 'der', type: 'spki' }));
  return [
    ...curves.map((curve): OddRequest => {
      const key = requestKey(curve);
      return { name: `a key on ${curve}`, der: request(key) };
    }),
    of('an RSA key', { spki: plain(rsa) }),
    of('an Ed25519 key', { spki: plain(ed25519) }),
    of('a point off its curve', { spki: point(filled(4, 65)) }),
    of('a compressed point', { spki: point(filled(2, 33)) }),
    of('a hybrid point', { spki: point(filled(6, 65)) }),
    of('the point at infinity', { spki: point(Uint8Array.of(0)) }),
    of('a key of no bits', { spki: point(new Uint8Array(0)) }),
    of('unused bits in a key', {
      spki: der.sequence(p256, der.element(tags.bitString, Uint8Array.of(1), filled(4, 65))),
    }),
    of('a curve without name', {
      spki: der.sequence(
        der.sequence(der.oid('1.2.840.10045.2.1'), der.sequence(der.integer(1))),
        der.bitString(filled(4, 65)),
      ),
    }),
  ];
}

function badAttributes(of: (name: string, parts: Parts) => OddRequest): readonly OddRequest[] {
  const { extensionRequest, challengePassword } = requestAttributeOids;
  const some = Array.from({ length: 65 }, (_, number) => unknown(number));
  const list = (...members: readonly Extension[]): Parts => ({
    attributes: [extensions(...members)],
  });
  return [
    of('an extension twice', list(unknown(1), unknown(2), unknown(1))),
    of('65 extensions', list(...some)),
    of('no extension in the list', list()),
    of('an extension of 40 KiB', list(unknown(1, 40_960))),
    of('an attribute twice', { attributes: [extensions(unknown(1)), extensions(unknown(2))] }),
    of('17 attributes', {
      attributes: some.slice(0, 17).map(({ oid }) => attribute(oid, der.nullElement)),
    }),
    of('an attribute without value', { attributes: [attribute('1.3.6.1.4.1.32473.1')] }),
    of('two lists of extensions', {
      attributes: [
        attribute(
          extensionRequest,
          der.sequence(ext.encodeExtension(unknown(1))),
          der.sequence(ext.encodeExtension(unknown(2))),
        ),
      ],
    }),
    of('extensions that are none', { attributes: [attribute(extensionRequest, der.integer(7))] }),
    of('a password that is a number', {
      attributes: [attribute(challengePassword, der.integer(7))],
    }),
  ];
}

/** Each proves its key and asks for what it may not have: a certificate comes, and says nothing of it. */
export function greedyRequests(key: RequestKey, victim: string): readonly OddRequest[] {
  const of = (name: string, parts: Parts): OddRequest => ({ name, der: request(key, parts) });
  const list = (...members: readonly Extension[]): Parts => ({
    attributes: [extensions(...members)],
  });
  return [
    of('the identity of another device', {
      subject: encodeName(['organizationName', 'Test'], ['serialNumber', victim]),
    }),
    of('a name with a NUL', { subject: subjectOf(commonName, der.utf8String('a.example\0.evil')) }),
    of('a name in BMPString', {
      subject: subjectOf(commonName, der.element(tags.bmpString, utf8('\0e\0v\0i\0l'))),
    }),
    of('a name of 20 KiB', { subject: subjectOf(commonName, der.utf8String('x'.repeat(20_480))) }),
    of('a name that is no text', { subject: subjectOf(commonName, der.integer(7)) }),
    of('to be an authority', list(ext.basicConstraints({ ca: true }))),
    of('to be a server', {
      attributes: [
        extensions(
          ext.extKeyUsage(ext.keyPurposes.serverAuth),
          ext.subjectAltName([{ kind: 'dNSName', text: 'bank.example' }]),
        ),
      ],
    }),
    of('an unknown critical extension', list(unknown(1, 1, true))),
    of('an extension of 20 KiB', list(unknown(1, 20_480))),
    of('an unknown attribute', { attributes: [attribute('1.3.6.1.4.1.32473.1', der.nullElement)] }),
  ];
}
