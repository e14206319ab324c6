import assert from 'node:assert/strict';
import { generateKeyPairSync, sign } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { nodeCrypto } from '../../../src/drivers/keys/software/nodeCrypto.ts';
import { utf8 } from '../../../src/wire/bytes/utf8.ts';
import { fromHex, toHex } from '../../../src/wire/bytes/hex.ts';
import * as cbor from '../../../src/wire/cbor/writer.ts';
import { aeadAlgorithmNumbers, aeadAlgorithmOf } from '../../../src/wire/cose/algorithms.ts';
import { buildCcs, parseCcs, parseCwt } from '../../../src/wire/cose/ccs.ts';
import { fixedSignature } from '../../../src/wire/der/ecdsa.ts';
import { encStructure } from '../../../src/wire/cose/encrypt0.ts';
import { encodeHeaders, headerLabels, parseProtected } from '../../../src/wire/cose/headers.ts';
import {
  type CoseKey,
  ec2KeyOfPoint,
  encodeKey,
  importKey,
  keyOperations,
  parseKey,
} from '../../../src/wire/cose/key.ts';
import {
  parseSign1,
  prepareSign1,
  sign1ToBeSigned,
  verifySign1,
} from '../../../src/wire/cose/sign1.ts';

interface Sign1Example {
  readonly title: string;
  readonly fail: boolean;
  readonly note?: string;
  readonly key: {
    readonly curve: 'P-256' | 'P-384' | 'Ed448';
    readonly x: string;
    readonly y?: string;
  };
  readonly external: string;
  readonly toBeSigned?: string;
  readonly cbor: string;
}

const examples = JSON.parse(
  readFileSync(new URL('../../vectors/cose-wg/examples.json', import.meta.url), 'utf8'),
) as readonly Sign1Example[];

/** CRED_R and CRED_I of RFC 9529 §3: raw public keys in CWT Claims Sets. */
const credR = fromHex(
  'a2026b6578616d706c652e65647508a101a501020241322001215820bbc34960526ea4d32e940cad2a234148ddc21791' +
    'a12afbcbac93622046dd44f02258204519e257236b2a0ce2023f0931f1f386ca7afda64fcde0108c224c51eabf6072',
);

function keyOf({ curve, x, y }: Sign1Example['key']): CoseKey {
  if (curve === 'Ed448') return { type: 'OKP', curve, x: fromHex(x) };
  return { type: 'EC2', curve, x: fromHex(x), y: fromHex(y ?? '') };
}

for (const example of examples) {
  test(`COSE working group: ${example.title}`, () => {
    const key = importKey(nodeCrypto, keyOf(example.key));
    assert.ok(key);
    const externalAad = fromHex(example.external);
    let accepted = false;
    try {
      const message = parseSign1(fromHex(example.cbor));
      if (example.toBeSigned !== undefined) {
        assert.equal(toHex(sign1ToBeSigned(message, { externalAad })), example.toBeSigned);
      }
      accepted = verifySign1(nodeCrypto, key, message, { externalAad });
      if (example.note === 'alg unprotected') {
        // The signature is right, but an algorithm that an attacker may change is not relied on.
        assert.equal(accepted, false);
        const toBeSigned = sign1ToBeSigned(message, { externalAad });
        accepted = nodeCrypto.verify(key, 'ES256', toBeSigned, message.signature);
      }
    } catch (error) {
      assert.match(String(error), /^(MalformedError|UnsupportedError)/);
    }
    assert.equal(accepted, !example.fail);
  });
}

test('RFC 9052 §5.3: Enc_structure', () => {
  // The additional data of RFC 8613 §C.4.
  const externalAad = fromHex('8501810a40411440');
  const aad = encStructure(new Uint8Array(0), externalAad);
  assert.equal(toHex(aad), '8368456e63727970743040488501810a40411440');
  assert.equal(toHex(encStructure(fromHex('a0'), externalAad)), toHex(aad));
});

test('a message that we prepare is signed by whoever holds the key, and only once', () => {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const point = publicKey.export({ format: 'der', type: 'spki' }).subarray(-65);
  const key = importKey(nodeCrypto, ec2KeyOfPoint('P-256', point));
  assert.ok(key);
  for (const detached of [false, true]) {
    const payload = utf8('42 units');
    const unsigned = prepareSign1({
      protected: { algorithm: -7, contentType: 60 },
      unprotected: { kid: Uint8Array.of(7) },
      payload,
      externalAad: utf8('line 3'),
      detached,
      tagged: true,
    });
    const der = sign('sha256', unsigned.toBeSigned, privateKey);
    const message = parseSign1(unsigned.finish(fixedSignature(der, 32)));
    assert.throws(() => unsigned.finish(der), TypeError);
    assert.deepEqual(message.unprotectedHeaders.kid, Uint8Array.of(7));
    assert.equal(message.protectedHeaders.contentType, 60);
    const options = detached ? { detachedPayload: payload } : {};
    const externalAad = utf8('line 3');
    assert.ok(verifySign1(nodeCrypto, key, message, { ...options, externalAad }));
    assert.ok(!verifySign1(nodeCrypto, key, message, options));
    if (detached) assert.throws(() => verifySign1(nodeCrypto, key, message), TypeError);
    else assert.throws(() => sign1ToBeSigned(message, { detachedPayload: payload }), TypeError);
  }
});

test('RFC 9529 §3.3: a raw public key as CCS is read, kept byte for byte and rebuilt', () => {
  const parsed = parseCcs(credR);
  assert.equal(parsed.subject, 'example.edu');
  assert.deepEqual(parsed.key.kid, Uint8Array.of(0x32));
  assert.equal(toHex(parsed.bytes), toHex(credR));
  const built = buildCcs({ subject: 'example.edu', key: parsed.key });
  assert.equal(toHex(built.bytes), toHex(credR));
  assert.equal(importKey(nodeCrypto, parsed.key)?.curve, 'P-256');
});

test('RFC 9528 §3.5.2: a naked key is dressed with a1 08 a1 01', () => {
  const { key } = parseCcs(credR);
  assert.equal(toHex(buildCcs({ key }).bytes), `a108a101${toHex(encodeKey(key))}`);
});

test('a CWT carries its claims in COSE_Sign1', () => {
  const cwt = prepareSign1({ protected: { algorithm: -7 }, payload: credR }).finish(
    new Uint8Array(64),
  );
  const parsed = parseCwt(cwt);
  assert.equal(parsed.claims.subject, 'example.edu');
  assert.deepEqual(parsed.bytes, cwt);
  const detached = prepareSign1({ protected: { algorithm: -7 }, payload: credR, detached: true });
  assert.throws(() => parseCwt(detached.finish(new Uint8Array(64))), { name: 'MalformedError' });
});

test('keys of every kind survive writing and reading', () => {
  const { key } = parseCcs(credR);
  const { x } = key;
  const okp: CoseKey = { type: 'OKP', curve: 'X25519', x: new Uint8Array(32).fill(9) };
  const operations = [keyOperations.deriveBits];
  for (const candidate of [
    key,
    { type: 'EC2', curve: 'P-256', x },
    { type: 'EC2', curve: 'P-256', x, y: true },
    { type: 'EC2', curve: 'P-256', x, y: false, algorithm: -25, operations },
    okp,
  ] as const) {
    assert.deepEqual(parseKey(encodeKey(candidate)), candidate);
    assert.ok(importKey(nodeCrypto, candidate));
  }
  assert.throws(() => encodeKey({ ...okp, x: x.subarray(1) }), TypeError);
});

test('what is no public key of ours is refused', () => {
  const x = toHex(parseCcs(credR).key.x);
  for (const [name, encoding, error] of [
    ['private key', `a401022001215820${x}235820${x}`, 'MalformedError'],
    ['kty missing', `a22001215820${x}`, 'MalformedError'],
    ['x missing', 'a201022001', 'MalformedError'],
    ['x too short', 'a3010220012141ff', 'MalformedError'],
    ['y too short', `a401022001215820${x}2241ff`, 'MalformedError'],
    ['label twice', `a4010220012001215820${x}`, 'MalformedError'],
    ['OKP on P-256', `a301012001215820${x}`, 'MalformedError'],
    ['EC2 on X25519', `a301022004215820${x}`, 'MalformedError'],
    ['y in OKP', `a401012004215820${x}22f5`, 'MalformedError'],
    ['symmetric key', 'a20104204101', 'UnsupportedError'],
    ['secp256k1', `a301022008215820${x}`, 'UnsupportedError'],
    ['key type by name', 'a10163525341', 'UnsupportedError'],
    ['empty key_ops', `a4010204802001215820${x}`, 'MalformedError'],
  ] as const) {
    assert.throws(() => parseKey(fromHex(encoding)), { name: error }, name);
  }
  const offCurve = new Uint8Array(credR);
  offCurve[offCurve.length - 1] = 0x73;
  assert.equal(importKey(nodeCrypto, parseCcs(offCurve).key), undefined);
  assert.throws(() => parseCcs(fromHex('a0')), { name: 'MalformedError' });
  assert.throws(() => parseCcs(fromHex('a108a0')), { name: 'MalformedError' });
});

test('header maps: doubled labels and unknown critical ones are refused', () => {
  const labelTwice = () => encodeHeaders({ kid: Uint8Array.of(1), others: [[4, cbor.nullItem]] });
  assert.throws(labelTwice, TypeError);
  const wrap = (protectedHex: string, unprotectedHex: string) =>
    cbor.array(
      cbor.bytes(fromHex(protectedHex)),
      fromHex(unprotectedHex),
      cbor.bytes(new Uint8Array(1)),
      cbor.bytes(new Uint8Array(64)),
    );
  for (const [name, bytes, error] of [
    ['same label twice', wrap('a201260126', 'a0'), 'MalformedError'],
    ['same label in both maps', wrap('a10126', 'a10126'), 'MalformedError'],
    ['crit unprotected', wrap('a10126', 'a102811822'), 'MalformedError'],
    ['crit empty', wrap('a201260280', 'a0'), 'MalformedError'],
    ['crit of an absent label', wrap('a20126028116', 'a0'), 'MalformedError'],
    ['crit not understood', wrap('a301260281161600', 'a0'), 'UnsupportedError'],
    ['alg by name', wrap('a101634d4143', 'a0'), 'UnsupportedError'],
    ['three members', cbor.array(cbor.bytes(new Uint8Array(0))), 'MalformedError'],
    ['trailing byte', fromHex(`${toHex(wrap('a10126', 'a0'))}00`), 'MalformedError'],
  ] as const) {
    assert.throws(() => parseSign1(bytes), { name: error }, name);
  }
  const understood = parseSign1(wrap('a301260281161600', 'a0'), [headerLabels.c5t]);
  assert.deepEqual(understood.protectedHeaders.critical, [headerLabels.c5t]);
  assert.equal(parseProtected(fromHex('a10126')).algorithm, -7);
});

test('algorithm numbers and names agree both ways', () => {
  for (const [name, number] of Object.entries(aeadAlgorithmNumbers)) {
    assert.equal(aeadAlgorithmOf(number), name);
  }
  assert.equal(aeadAlgorithmOf(99), undefined);
});
