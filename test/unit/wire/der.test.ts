import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { concat } from '../../../src/wire/bytes/bytes.ts';
import { fromHex, toHex } from '../../../src/wire/bytes/hex.ts';
import { derSignature, fixedSignature } from '../../../src/wire/der/ecdsa.ts';
import { oidContent, oidText } from '../../../src/wire/der/oid.ts';
import { DerReader, readDer } from '../../../src/wire/der/reader.ts';
import { contextConstructed, contextPrimitive, tags } from '../../../src/wire/der/tags.ts';
import {
  firstGeneralizedTimeMs,
  generalizedTimeText,
  noExpirationMs,
  parseGeneralizedTime,
  parseUtcTime,
} from '../../../src/wire/der/time.ts';
import { branch, type Branch, encodeBranch } from '../../../src/wire/der/tree.ts';
import * as der from '../../../src/wire/der/writer.ts';

const refused = (hex: string, read: (reader: DerReader) => unknown, offset: number): void => {
  assert.throws(
    () => readDer(fromHex(hex), read),
    { name: 'MalformedError', format: 'der', offset },
    hex,
  );
};

test('X.690 §8.3 and §11: integers in their shortest form', () => {
  for (const [value, hex] of [
    [0, '020100'],
    [127, '02017f'],
    [128, '02020080'],
    [256, '02020100'],
    [65537, '0203010001'],
    [Number.MAX_SAFE_INTEGER, '02071fffffffffffff'],
  ] as const) {
    assert.equal(toHex(der.integer(value)), hex);
    assert.equal(
      readDer(fromHex(hex), (reader) => reader.unsigned()),
      value,
    );
  }
  assert.equal(toHex(der.unsignedInteger(fromHex('000080'))), '02020080');
  assert.deepEqual(
    readDer(fromHex('0201ff'), (reader) => reader.integer()),
    fromHex('ff'),
  );
  refused('0200', (reader) => reader.integer(), 0);
  refused('02020001', (reader) => reader.integer(), 0);
  refused('0202ff80', (reader) => reader.integer(), 0);
  refused('0201ff', (reader) => reader.unsigned(), 0);
  refused('020108', (reader) => reader.unsigned(7), 0);
  refused('0208ffffffffffffffff', (reader) => reader.unsigned(), 0);
});

test('X.690 §10.1: lengths are definite and shortest', () => {
  const any = (reader: DerReader): unknown => reader.any();
  assert.equal(toHex(der.octetString(new Uint8Array(200)).subarray(0, 3)), '0481c8');
  assert.equal(toHex(der.octetString(new Uint8Array(256)).subarray(0, 4)), '04820100');
  assert.equal(toHex(der.octetString(new Uint8Array(65536)).subarray(0, 5)), '0483010000');
  for (const length of [0, 127, 128, 255, 256, 65535, 65536]) {
    assert.equal(
      readDer(der.octetString(new Uint8Array(length)), (r) => r.octetString()).length,
      length,
    );
  }
  refused('30800201000000', any, 1);
  refused('04810100', any, 1);
  refused('04820080' + '00'.repeat(128), any, 1);
  refused('0485010000000000', any, 1);
  refused('04', any, 1);
  refused('', any, 0);
  refused('0402ff', any, 0);
  refused('3003040200', any, 2);
  refused('040000', any, 2);
  refused('1f810100', any, 0);
});

test('a constructed element leaves nothing unread and lends nothing beyond it', () => {
  refused('3006020101020102', (reader) => reader.sequence((seq) => seq.unsigned()), 5);
  refused(
    '3003020101020102',
    (reader) => reader.sequence((seq) => [seq.unsigned(), seq.unsigned()]),
    5,
  );
  refused('30030201', (reader) => reader.sequence((seq) => seq.unsigned()), 0);
});

test('a tree written at once is what its elements are one by one', () => {
  const { tree } = fc.letrec<{ tree: Tree }>((tie) => ({
    tree: fc.oneof(
      { maxDepth: 5, withCrossShrink: true },
      fc.uint8Array({ maxLength: 300 }),
      fc.array(tie('tree'), { maxLength: 4 }),
    ),
  }));
  const written = (part: Tree): Uint8Array =>
    part instanceof Uint8Array
      ? der.octetString(part)
      : der.element(tags.sequence, ...part.map(written));
  const grown = (part: Tree): Branch =>
    part instanceof Uint8Array
      ? branch(tags.octetString, part)
      : branch(tags.sequence, ...part.map(grown));
  fc.assert(
    fc.property(tree, (root) => {
      assert.deepEqual(encodeBranch(grown(root)), written(root));
    }),
  );
});

type Tree = Uint8Array | readonly Tree[];

test('nesting and size have limits', () => {
  let deep = der.nullElement;
  for (let depth = 0; depth < 40; depth++) deep = der.sequence(deep);
  assert.throws(() => readDer(deep, (reader) => reader.any()), { name: 'MalformedError' });
  readDer(deep, (reader) => reader.any(), { maximumDepth: 40 });
  assert.throws(() => new DerReader(new Uint8Array(11), { maximumBytes: 10 }), { offset: 0 });
});

test('X.690 §11.1 and §11.2: booleans and bit strings', () => {
  assert.equal(
    readDer(fromHex('0101ff'), (reader) => reader.boolean()),
    true,
  );
  refused('010101', (reader) => reader.boolean(), 0);
  refused('0100', (reader) => reader.boolean(), 0);
  assert.equal(toHex(der.namedBits([5, 6])), '03020106');
  assert.equal(toHex(der.namedBits([0])), '03020780');
  assert.equal(toHex(der.namedBits([0, 8])), '0303078080');
  assert.equal(toHex(der.namedBits([])), '030100');
  assert.deepEqual(
    readDer(fromHex('0303078080'), (reader) => reader.namedBits()),
    [0, 8],
  );
  assert.deepEqual(
    readDer(fromHex('030100'), (reader) => reader.namedBits()),
    [],
  );
  refused('030205a0', (reader) => reader.bitStringOctets(), 0);
  refused('03020701', (reader) => reader.bitString(), 0);
  refused('03020880', (reader) => reader.bitString(), 0);
  refused('030101', (reader) => reader.bitString(), 0);
  refused('0300', (reader) => reader.bitString(), 0);
  refused('03020080', (reader) => reader.namedBits(), 0);
  refused('050100', (reader) => reader.null(), 0);
});

test('X.690 §8.19: object identifiers', () => {
  for (const [dotted, hex] of [
    ['2.100.3', '813403'],
    ['1.2.840.10045.4.3.2', '2a8648ce3d040302'],
    ['2.5.4.5', '550405'],
    ['0.9.2342.19200300.100.1.25', '0992268993f22c640119'],
    ['2.999', '8837'],
    ['2.25.329800735698586629295641978511506172918', '69'],
  ] as const) {
    const content = oidContent(dotted);
    assert.equal(oidText(content), dotted);
    assert.ok(toHex(content).startsWith(hex));
  }
  refused('0600', (reader) => reader.oid(), 2);
  refused('06022a80', (reader) => reader.oid(), 3);
  refused('0603808601', (reader) => reader.oid(), 2);
  refused('0614' + 'ff'.repeat(19) + '7f', (reader) => reader.oid(), 2);
  for (const wrong of ['1', '3.1', '1.40', '1.02', '1.2.', 'x']) {
    assert.throws(() => oidContent(wrong), TypeError, wrong);
  }
});

test('X.690 §11.6: a SET OF is sorted', () => {
  const [low, high] = [der.integer(1), der.integer(2)];
  assert.deepEqual(der.setOf(high, low), der.element(tags.set, low, high));
  const values = readDer(der.setOf(high, low), (reader) => reader.setOf((item) => item.unsigned()));
  assert.deepEqual(values, [1, 2]);
  refused('3106020102020101', (reader) => reader.setOf((item) => item.unsigned()), 5);
});

test('RFC 5280 §4.1.2.5: dates', () => {
  assert.equal(toHex(der.time(0)), '170d' + Buffer.from('700101000000Z').toString('hex'));
  assert.equal(
    toHex(der.time(firstGeneralizedTimeMs - 1000)),
    '170d' + Buffer.from('491231235959Z').toString('hex'),
  );
  assert.equal(
    toHex(der.time(firstGeneralizedTimeMs)),
    '180f' + Buffer.from('20500101000000Z').toString('hex'),
  );
  assert.equal(generalizedTimeText(noExpirationMs), '99991231235959Z');
  assert.equal(parseUtcTime('500101000000Z'), Date.UTC(1950, 0, 1));
  assert.equal(parseUtcTime('491231235959Z'), Date.UTC(2049, 11, 31, 23, 59, 59));
  assert.equal(parseGeneralizedTime('20240229120000Z'), Date.UTC(2024, 1, 29, 12));
  for (const wrong of [
    '230229000000Z',
    '231301000000Z',
    '230100000000Z',
    '230101240000Z',
    '230101006000Z',
    '230101000060Z',
    '2301010000Z',
    '230101000000+0000',
  ]) {
    assert.equal(parseUtcTime(wrong), undefined, wrong);
  }
  assert.equal(parseGeneralizedTime('19000229000000Z'), undefined);
  assert.equal(parseGeneralizedTime('20240101000000.5Z'), undefined);
  const before2050 = der.generalizedTime(Date.UTC(2030, 5, 1));
  assert.equal(
    readDer(before2050, (reader) => reader.time()),
    Date.UTC(2030, 5, 1),
  );
  assert.throws(() => der.utcTime(firstGeneralizedTimeMs), TypeError);
});

test('dates agree with the platform over four thousand years', () => {
  fc.assert(
    fc.property(fc.integer({ min: -62_135_596_800, max: 253_402_300_799 }), (seconds) => {
      const text = generalizedTimeText(seconds * 1000);
      const iso = new Date(seconds * 1000).toISOString();
      assert.equal(text, iso.replaceAll(/[-:T]|\.000/g, ''));
      assert.equal(parseGeneralizedTime(text), seconds * 1000);
    }),
  );
});

test('strings keep to their alphabets', () => {
  assert.equal(
    readDer(der.utf8String('grün'), (reader) => reader.utf8String()),
    'grün',
  );
  refused('0c02c328', (reader) => reader.utf8String(), 0);
  refused('13012a', (reader) => reader.printableString(), 0);
  refused('1302610a', (reader) => reader.printableString(), 0);
  refused('160180', (reader) => reader.ia5String(), 0);
  assert.throws(() => der.printableString('a*'), TypeError);
  assert.throws(() => der.ia5String('ü'), TypeError);
});

test('context tags, explicit and implicit', () => {
  assert.equal(toHex(der.explicit(3, der.integer(2))), 'a303020102');
  assert.equal(toHex(der.implicit(0, der.octetString(fromHex('aa')))), '8001aa');
  assert.equal(toHex(der.implicit(1, der.sequence())), 'a100');
  assert.equal(
    readDer(fromHex('a303020102'), (r) =>
      r.constructed(contextConstructed(3), (c) => c.unsigned()),
    ),
    2,
  );
  assert.equal(
    readDer(fromHex('810102'), (r) => r.unsigned(9, contextPrimitive(1))),
    2,
  );
  refused('a003020102', (r) => r.constructed(contextConstructed(3), (c) => c.unsigned()), 0);
});

test('element() and recorded() give the bytes as they stood', () => {
  const inner = der.sequence(der.integer(5), der.utf8String('x'));
  const outer = der.sequence(inner, der.nullElement);
  const [element, recorded] = readDer(outer, (reader) =>
    reader.sequence((seq) => {
      const first = seq.element();
      return [first, seq.recorded((rest) => rest.null()).der] as const;
    }),
  );
  assert.deepEqual([element, recorded], [inner, der.nullElement]);
  refused('300402020001', (reader) => reader.sequence((seq) => seq.integer()), 2);
});

test('RFC 3279 §2.2.3: ECDSA signatures in both forms', () => {
  const bytes32 = fc
    .uint8Array({ minLength: 32, maxLength: 32 })
    .filter((b) => b.some((x) => x > 0));
  fc.assert(
    fc.property(bytes32, bytes32, (r, s) => {
      const fixed = concat(r, s);
      assert.deepEqual(fixedSignature(derSignature(fixed), 32), fixed);
    }),
  );
  assert.throws(() => fixedSignature(fromHex('3006020101020100'), 32), { offset: 5 });
  assert.throws(() => fixedSignature(fromHex('30060201ff020101'), 32), { offset: 2 });
  assert.throws(
    () =>
      fixedSignature(
        der.sequence(der.unsignedInteger(new Uint8Array(33).fill(1)), der.integer(1)),
        32,
      ),
    { offset: 2 },
  );
  assert.throws(() => fixedSignature(fromHex('300602010102010100'), 32), { offset: 8 });
  assert.throws(() => derSignature(new Uint8Array(64)), { name: 'MalformedError' });
  assert.throws(() => derSignature(new Uint8Array(63)), { name: 'MalformedError' });
});
