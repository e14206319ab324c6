/** Values of extensions in CBOR: what each has of its own, and what goes the general way. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { concat } from '../../../src/wire/bytes/bytes.ts';
import { fromHex, toHex } from '../../../src/wire/bytes/hex.ts';
import { MalformedError } from '../../../src/wire/bytes/malformed.ts';
import { encodeExtensions, readExtensions } from '../../../src/wire/c509/extensions.ts';
import { CborReader } from '../../../src/wire/cbor/reader.ts';
import * as cbor from '../../../src/wire/cbor/writer.ts';
import * as der from '../../../src/wire/der/writer.ts';
import * as x509 from '../../../src/wire/x509/extensions.ts';
import { type GeneralName, hardwareModuleName } from '../../../src/wire/x509/generalNames.ts';
import type { Extension } from '../../../src/wire/x509/model.ts';
import { encodeName, parseName } from '../../../src/wire/x509/names.ts';

function bothWays(...list: Extension[]): string {
  const item = encodeExtensions(list, 3);
  const reader = new CborReader(item);
  assert.deepEqual(readExtensions(reader, 3), list);
  reader.end();
  return toHex(item);
}

/** The item of one extension's value, which follows its identifier in an array of two. */
function valueOf(oid: string, value: Uint8Array): string {
  const other = { oid: '1.2.9', critical: false, value: new Uint8Array(0) };
  const list = bothWays({ oid, critical: false, value }, other);
  assert.ok(list.startsWith('84') && list.endsWith('422a0940'), list);
  return list.slice(2, -8);
}

function bare({ value, oid }: Extension): string {
  return valueOf(oid, value);
}

const uri = (text: string): GeneralName => ({ kind: 'uniformResourceIdentifier', text });

test('the example of the draft', () => {
  const list = bothWays(
    x509.basicConstraints({ ca: true }),
    {
      ...x509.keyUsage('digitalSignature', 'nonRepudiation', 'keyEncipherment', 'keyAgreement'),
      critical: false,
    },
    x509.extKeyUsage('1.3.6.1.5.5.7.3.3', '1.3.6.1.5.5.7.3.9'),
    x509.subjectAltName([{ kind: 'dNSName', text: 'example.com' }]),
  );
  // [-4, -1, 2, 23, 8, [3, 9], 3, "example.com"]
  assert.equal(list, '882320021708820309036b6578616d706c652e636f6d');
});

test('key usage alone is an integer with the sign of criticality', () => {
  assert.equal(bothWays(x509.keyUsage('digitalSignature')), '20');
  assert.equal(bothWays({ ...x509.keyUsage('digitalSignature'), critical: false }), '01');
  assert.equal(bothWays(x509.keyUsage('keyAgreement')), '2f');
  assert.equal(bothWays(x509.keyUsage('decipherOnly')), '38ff');
  assert.equal(bothWays(), '80');
});

test('a key usage without bits has no sign, so it goes the general way when critical', () => {
  const empty = { oid: '2.5.29.15', value: fromHex('030100') };
  assert.equal(bothWays({ ...empty, critical: false }), '00');
  assert.equal(bothWays({ ...empty, critical: true }), '822100');
});

test('small values', () => {
  const cases: Array<[string, string]> = [
    [bare(x509.basicConstraints({ ca: false })), '0421'],
    [bare(x509.basicConstraints({ ca: true })), '0420'],
    [bare(x509.basicConstraints({ ca: true, pathLength: 0 })), '0400'],
    [bare(x509.basicConstraints({ ca: true, pathLength: 300 })), '0419012c'],
    [bare(x509.extKeyUsage('1.3.6.1.5.5.7.3.2')), '0802'],
    [bare(x509.extKeyUsage('1.2.3')), '08422a03'],
    [bare(x509.extKeyUsage('1.2.3', '2.5.29.37.0')), '0882422a0300'],
    [bare(x509.authorityKeyIdentifier(Uint8Array.of(7))), '074107'],
    [valueOf('2.5.29.54', der.integer(3)), '181e03'],
    [valueOf('1.3.6.1.5.5.7.48.1.5', der.nullElement), '1824f6'],
    [valueOf('1.3.6.1.5.5.7.1.24', der.sequence(der.integer(5), der.integer(17))), '1826820511'],
    [valueOf('2.5.29.36', der.sequence(der.implicit(1, der.integer(2)))), '181c82f602'],
    [
      valueOf('2.5.29.33', der.sequence(der.sequence(der.oid('2.5.29.32.0'), der.oid('1.2.3')))),
      '181b8200422a03',
    ],
  ];
  for (const [actual, expected] of cases) assert.equal(actual, expected);
});

test('general names', () => {
  const directory: GeneralName = {
    kind: 'directoryName',
    name: parseName(encodeName(['commonName', 'x'])),
  };
  const cases: Array<[GeneralName, string]> = [
    [{ kind: 'rfc822Name', text: 'a' }, '016161'],
    [directory, '046178'],
    [uri('u'), '066175'],
    [{ kind: 'iPAddress', address: Uint8Array.of(127, 0, 0, 1) }, '07447f000001'],
    [{ kind: 'registeredID', oid: '1.2.3' }, '08422a03'],
    [hardwareModuleName({ hwType: '1.2.3', hwSerialNum: Uint8Array.of(9) }), '2082422a034109'],
    [{ kind: 'otherName', typeId: '1.3.6.1.5.5.7.8.9', value: der.utf8String('é') }, '2162c3a9'],
    [
      {
        kind: 'otherName',
        typeId: '1.3.6.1.5.5.7.8.12',
        value: der.octetString(Uint8Array.of(1, 2, 3, 4, 5, 6)),
      },
      '2246010203040506',
    ],
    [{ kind: 'otherName', typeId: '1.2.3', value: der.nullElement }, '0082422a03420500'],
  ];
  for (const [name, expected] of cases) {
    assert.equal(bare(x509.subjectAltName([name])), `0382${expected}`);
    const issuer = { oid: '2.5.29.18', value: x509.subjectAltName([name]).value };
    assert.equal(valueOf(issuer.oid, issuer.value), `181982${expected}`);
  }
  assert.equal(
    bare(x509.subjectAltName([{ kind: 'dNSName', text: 'a' }, uri('b')])),
    '0384026161066162',
  );
});

test('the name constraints of device authorities', () => {
  const constraints = x509.nameConstraints({
    permitted: [],
    excluded: [
      { kind: 'dNSName', text: '' },
      { kind: 'iPAddress', address: new Uint8Array(8) },
      { kind: 'iPAddress', address: new Uint8Array(32) },
      uri(''),
    ],
  });
  assert.equal(bare(constraints), `181a82f68802600745${'00'.repeat(5)}0751${'00'.repeat(17)}0660`);
  const block = x509.nameConstraints({
    permitted: [{ kind: 'iPAddress', address: fromHex('c0000200ffffff00') }],
    excluded: [],
  });
  assert.equal(bare(block), '181a82820745c000020018f6');
});

test('places of publication', () => {
  assert.equal(bare(x509.cRLDistributionPoints('http://a/')), '0569687474703a2f2f612f');
  // One point with two URIs: [[["a", "b"], null, null]]
  assert.equal(bare(x509.cRLDistributionPoints('a', 'b')), '0581838261616162f6f6');
  const name = encodeName(['commonName', 'x']);
  const withIssuer = der.sequence(
    der.sequence(
      der.explicit(0, der.implicit(0, der.sequence(der.implicit(6, der.ia5String('a'))))),
      der.implicit(2, der.sequence(der.explicit(4, name))),
    ),
  );
  assert.equal(valueOf('2.5.29.31', withIssuer), '0581836161f66178');
  const access = x509.authorityInfoAccess(
    { method: '1.3.6.1.5.5.7.48.1', location: uri('a') },
    { method: '1.2.3', location: uri('b') },
  );
  assert.equal(bare(access), '0984016161422a036162');
});

test('policies with qualifiers', () => {
  const qualifier = (oid: string, value: Uint8Array): Uint8Array =>
    der.sequence(der.oid(oid), value);
  const policies = der.sequence(
    der.sequence(der.oid('2.23.140.1.2.1')),
    der.sequence(
      der.oid('1.2.3'),
      der.sequence(
        qualifier('1.3.6.1.5.5.7.2.1', der.ia5String('c')),
        qualifier('1.3.6.1.5.5.7.2.2', der.sequence(der.utf8String('n'))),
      ),
    ),
  );
  assert.equal(valueOf('2.5.29.32', policies), '06840180422a038401616302616e');
});

test('authority key identifier with issuer and serial number', () => {
  const value = der.sequence(
    der.implicit(0, der.octetString(Uint8Array.of(1))),
    der.implicit(1, der.sequence(der.explicit(4, encodeName(['commonName', 'x'])))),
    der.implicit(2, der.unsignedInteger(Uint8Array.of(0x80))),
  );
  assert.equal(valueOf('2.5.29.35', value), '07834101820461784180');
});

test('numbers of autonomous systems', () => {
  const oid = '1.3.6.1.5.5.7.1.8';
  assert.equal(valueOf(oid, der.sequence(der.explicit(0, der.nullElement))), '1821f6');
  const numbers = der.sequence(
    der.integer(64_496),
    der.sequence(der.integer(64_500), der.integer(64_510)),
  );
  assert.equal(valueOf(oid, der.sequence(der.explicit(0, numbers))), '18218219fbf082040a');
});

test('addresses beyond 53 bits keep their differences', () => {
  const prefix = (hex: string): Uint8Array => der.element(3, fromHex(hex));
  const family = der.sequence(
    der.octetString(fromHex('0002')),
    der.sequence(prefix('0020010db8000000'), prefix('07ffffffffffff80')),
  );
  assert.match(valueOf('1.3.6.1.5.5.7.1.7', der.sequence(family)), /^1820/);
});

test('what has no value of its own goes the general way, critical ones in a list', () => {
  const cases: Array<[string, Uint8Array]> = [
    // Trailing zero bits of a named bit list, a path length without CA, and other DER that is not canonical.
    ['2.5.29.15', fromHex('03020700')],
    ['2.5.29.15', fromHex('0306000000000080')],
    ['2.5.29.19', fromHex('3003020101')],
    ['2.5.29.19', fromHex('3003010100')],
    ['2.5.29.37', fromHex('3000')],
    ['2.5.29.17', fromHex('3000')],
    // x400Address
    ['2.5.29.17', fromHex('3002a300')],
    // A hardware module name that is none.
    ['2.5.29.17', fromHex('3010a00e06082b06010505070804a0020500')],
    ['2.5.29.14', fromHex('0500')],
    ['2.5.29.35', fromHex('3003820101')],
    // A mask that is no prefix, an address of five octets.
    ['2.5.29.30', fromHex('300ea10c300a8708c0000200ff00ff00')],
    ['2.5.29.30', fromHex('300ba109300787050000000000')],
    // A distribution point with reasons, and one with a relative name.
    ['2.5.29.31', fromHex('300d300ba005a00386016181020640')],
    ['2.5.29.31', fromHex('30063004a002a100')],
    // An explicit text in BMPString, an empty list of qualifiers.
    ['2.5.29.32', fromHex('3008300606022a033000')],
    ['1.3.6.1.5.5.7.1.1', fromHex('300a300806022a0382026162')],
    ['1.3.6.1.5.5.7.48.1.5', fromHex('0400')],
    ['1.3.6.1.5.5.7.1.7', fromHex('3000')],
    ['1.3.6.1.5.5.7.1.8', fromHex('3004a1020500')],
    ['2.5.29.9', fromHex('3000')],
    ['1.2.3', new Uint8Array(0)],
  ];
  for (const [oid, value] of cases) {
    const item = valueOf(oid, value);
    assert.equal(item, toHex(concat(cbor.bytes(der.oid(oid).subarray(2)), cbor.bytes(value))), oid);
    const critical = bothWays({ oid, critical: true, value });
    assert.ok(critical.includes(`81${toHex(cbor.bytes(value))}`));
  }
});

test('malformed values are refused', () => {
  const cases: Array<[string, RegExp]> = [
    ['820181', /.*/],
    ['8202f6', /unsigned/],
    ['82021b0000000100000000', /integer above/],
    ['820422', /path length/],
    ['820763616263', /array expected/],
    ['8207824101f6', /identifier, issuer/],
    ['820880', /two or more/],
    ['820380', /pairs, one or more/],
    ['8203820318', /.*/],
    ['82038203f6', /not registered/],
    ['8203822082014101', /.*/],
    ['8203820662c3a9', /outside ASCII/],
    ['820580', /empty list/],
    ['820581826161f6', /name, reasons and issuer/],
    ['82058183816161f6f6', /two or more URIs/],
    ['820680', /policies/],
    ['820682008101', /without text/],
    ['82068200820a6161', /not registered/],
    ['820980', /methods/],
    ['82181a82f6f6', /empty name constraints/],
    ['82181a828207447f000001f6', /5 or 17/],
    ['82181a828207457f00000021f6', /5 or 17/],
    ['82181b80', /pairs of policies/],
    ['82181c8101', /two numbers/],
    ['82182080', /families/],
    ['8218208301f680', /without addresses/],
    ['8218208301f68100', /not an address/],
    ['8218208301f681190a00', /not an address/],
    ['8218208301f6814108', /not an address/],
    ['8218208301f6818101', /least and greatest/],
    ['82182180', /autonomous/],
    ['821821818101', /least and greatest/],
    ['82182400', /null expected/],
  ];
  for (const [text, problem] of cases) {
    assert.throws(
      () => readExtensions(new CborReader(fromHex(text)), 3),
      (error) => error instanceof MalformedError && problem.test(error.message),
      text,
    );
  }
});

test('any list of values comes back', () => {
  const oids = fc.constantFrom(
    '2.5.29.15',
    '2.5.29.17',
    '2.5.29.30',
    '2.5.29.31',
    '2.5.29.32',
    '2.5.29.35',
    '2.5.29.37',
    '1.3.6.1.5.5.7.1.1',
    '1.3.6.1.5.5.7.1.7',
    '1.3.6.1.5.5.7.1.8',
  );
  const extension = fc.record(
    {
      oid: oids,
      critical: fc.boolean(),
      value: fc.uint8Array({ maxLength: 12 }),
    },
    { noNullPrototype: true },
  );
  fc.assert(
    fc.property(fc.uniqueArray(extension, { selector: ({ oid }) => oid, maxLength: 4 }), (list) => {
      bothWays(...list);
    }),
    { numRuns: 500 },
  );
});
