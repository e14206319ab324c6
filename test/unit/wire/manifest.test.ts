/** The published Microchip manifest, our own entries, and every way in which an entry can be wrong. */
import assert from 'node:assert/strict';
import { createHash, generateKeyPairSync, sign, verify, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseBase64url } from '../../../src/wire/bytes/base64.ts';
import { concat } from '../../../src/wire/bytes/bytes.ts';
import { toHex } from '../../../src/wire/bytes/hex.ts';
import { MalformedError, UnsupportedError } from '../../../src/wire/bytes/malformed.ts';
import { utf8 } from '../../../src/wire/bytes/utf8.ts';
import { readEntry, type SignedEntry } from '../../../src/wire/manifest/entry.ts';
import { ManifestFault } from '../../../src/wire/manifest/fault.ts';
import type { ElementRecord } from '../../../src/wire/manifest/record.ts';
import { EntrySplitter, maximumEntryBytes } from '../../../src/wire/manifest/splitter.ts';
import { formatTimestamp, parseTimestamp } from '../../../src/wire/manifest/timestamp.ts';
import { manifestText, prepareEntry } from '../../../src/wire/manifest/writer.ts';

const vector = join(import.meta.dirname, '../../vectors/microchip-manifest');
const published = readFileSync(join(vector, 'manifest.json'));
const logSigner = new X509Certificate(readFileSync(join(vector, 'log-signer.pem')));

function entriesOf(file: Uint8Array): SignedEntry[] {
  const splitter = new EntrySplitter();
  const entries = splitter.push(file).map(readEntry);
  splitter.end();
  return entries;
}

/** The published entry with parts of its JSON replaced. */
function altered(change: (entry: PublishedEntry) => void): () => SignedEntry[] {
  const file = JSON.parse(published.toString()) as PublishedEntry[];
  change(file[0] as PublishedEntry);
  return () => entriesOf(utf8(JSON.stringify(file)));
}

interface PublishedEntry {
  payload: string;
  protected: string;
  header: Record<string, unknown>;
  signature: string;
  [member: string]: unknown;
}

function alteredPart(
  part: 'payload' | 'protected',
  change: (members: Record<string, unknown>) => unknown,
): () => SignedEntry[] {
  return altered((entry) => {
    const members = JSON.parse(Buffer.from(entry[part], 'base64url').toString()) as Record<
      string,
      never
    >;
    const replaced = change(members);
    entry[part] = Buffer.from(
      typeof replaced === 'string' ? replaced : JSON.stringify(members),
    ).toString('base64url');
  });
}

function fault(member: string, problem: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof ManifestFault, String(error));
    assert.equal(error.member, member);
    assert.equal(error.entry, 0);
    assert.match(error.message, problem);
    return true;
  };
}

test('the published entry is read as its document says', () => {
  const [entry, ...others] = entriesOf(published);
  assert.ok(entry !== undefined && others.length === 0);
  assert.equal(toHex(entry.record.uniqueId), '0123f1822c38dd7a01');
  assert.deepEqual(entry.headerUniqueId, entry.record.uniqueId);
  assert.equal(entry.record.model, 'ATECC608A');
  assert.equal(entry.record.partNumber, 'ATECC608A-MAH22');
  assert.deepEqual(entry.record.distributor, {
    organizationName: 'Microchip Technology Inc',
    organizationalUnitName: 'Microchip Direct',
  });
  assert.equal(entry.record.groupId, '359SCE55NV38H3CB');
  assert.equal(entry.record.provisionedMs, Date.parse('2019-01-24T16:35:23.473Z'));
  assert.deepEqual(
    entry.record.keys.map(({ slot, certificates }) => [slot, certificates.length]),
    [
      ['0', 2],
      ['1', 0],
      ['2', 0],
      ['3', 0],
      ['4', 0],
    ],
  );
  assert.equal(entry.record.birth, undefined);
  assert.equal(toHex(entry.keyId), 'edc0882e500ec18a35f8f0a11aea3250848c2b78');
  assert.deepEqual(
    Buffer.from(entry.certificateSha256),
    createHash('sha256').update(logSigner.raw).digest(),
  );
});

test('the signature of the published entry verifies over the signing input', () => {
  const [entry] = entriesOf(published);
  assert.ok(entry);
  const key = { key: logSigner.publicKey, dsaEncoding: 'ieee-p1363' } as const;
  assert.ok(verify('sha256', entry.signingInput, key, entry.signature));
  entry.signingInput[100] = (entry.signingInput[100] ?? 0) ^ 1;
  assert.ok(!verify('sha256', entry.signingInput, key, entry.signature));
});

test('both spellings of distributor, and members that nobody told us of, are read', () => {
  const renamed = alteredPart('payload', (members) => {
    Object.assign(members, { distributer: members['distributor'], somethingNew: [1, { a: 2 }] });
    delete members['distributor'];
  });
  assert.equal(renamed()[0]?.record.distributor.organizationalUnitName, 'Microchip Direct');
});

test('modelInfo is read', () => {
  const [entry] = alteredPart('payload', (members) => {
    Object.assign(members, {
      modelInfo: {
        deviceRevision: '00006002',
        publicData: [
          { zone: 'data', slot: 5, offset: 0, data: 'AQID' },
          { zone: 'otp', offset: 4, data: '_w' },
        ],
      },
    });
  })();
  assert.deepEqual(entry?.record.modelInfo, {
    deviceRevision: Uint8Array.of(0, 0, 0x60, 2),
    publicData: [
      { zone: 'data', slot: 5, offset: 0, data: Uint8Array.of(1, 2, 3) },
      { zone: 'otp', slot: undefined, offset: 4, data: Uint8Array.of(255) },
    ],
  });
});

test('a fault names entry and member', () => {
  const payload = (name: string, value: unknown) =>
    alteredPart('payload', (members) => void Object.assign(members, { [name]: value }));
  const jwk = (value: object) =>
    alteredPart('payload', (members) => {
      const keys = (members['publicKeySet'] as { keys: object[] }).keys;
      Object.assign(keys[1] as object, value);
    });
  const cases: Array<[() => SignedEntry[], string, RegExp]> = [
    [altered((entry) => void delete entry['signature' as string]), 'signature', /is missing/],
    [altered((entry) => (entry.signature = 'AAAA')), 'signature', /64 bytes/],
    [altered((entry) => (entry.payload += '*')), 'payload', /base64url/],
    [altered((entry) => (entry.payload = 'e30')), 'payload.version', /missing/],
    [altered((entry) => (entry.payload = '_w')), 'payload', /UTF-8/],
    [altered((entry) => (entry.payload = 'bnVsbA')), 'payload', /not an object/],
    [altered((entry) => (entry.header = {})), 'header.uniqueId', /missing/],
    [altered((entry) => (entry.header['alg'] = 'none')), 'header.alg', /protected/],
    [altered((entry) => (entry.header['uniqueId'] = '0123F1')), 'header.uniqueId', /lower-case/],
    [altered((entry) => (entry.header['uniqueId'] = 'ab'.repeat(65))), 'header.uniqueId', /64/],
    [alteredPart('protected', (members) => void delete members['kid']), 'protected.kid', /missing/],
    [
      alteredPart('protected', (members) => void Object.assign(members, { 'x5t#S256': 'AAAA' })),
      'protected.x5t#S256',
      /32 bytes/,
    ],
    [
      alteredPart('payload', (members) => JSON.stringify(members).replace('{', '{"model":"x",')),
      'payload',
      /names the member "model" twice/,
    ],
    [
      alteredPart('payload', (members) =>
        JSON.stringify(members).replace('{', String.raw`{"\u006dodel":"x",`),
      ),
      'payload',
      /names the member "model" twice/,
    ],
    [payload('version', '1'), 'payload.version', /integer/],
    [payload('version', -1), 'payload.version', /between/],
    [payload('model', ''), 'payload.model', /empty/],
    [payload('model', 'x'.repeat(257)), 'payload.model', /256/],
    [payload('model', 'a\u001b[2J'), 'payload.model', /plain text/],
    [payload('model', '\ud800'), 'payload.model', /plain text/],
    [payload('manufacturer', {}), 'payload.manufacturer.organizationName', /missing/],
    [payload('provisioner', ['x']), 'payload.provisioner', /not an object/],
    [payload('uniqueId', '0'), 'payload.uniqueId', /hexadecimal/],
    [
      payload('provisioningTimestamp', '2019-02-29T00:00:00Z'),
      'payload.provisioningTimestamp',
      /RFC 3339/,
    ],
    [payload('publicKeySet', { keys: [] }), 'payload.publicKeySet.keys', /empty/],
    [payload('publicKeySet', { keys: {} }), 'payload.publicKeySet.keys', /array/],
    [
      payload('publicKeySet', { keys: Array.from({ length: 33 }, () => ({})) }),
      'payload.publicKeySet.keys',
      /more than 32/,
    ],
    [jwk({ kty: 'RSA' }), 'payload.publicKeySet.keys[1].kty', /EC/],
    [jwk({ crv: 'P-384' }), 'payload.publicKeySet.keys[1].crv', /P-256/],
    [jwk({ d: 'AA' }), 'payload.publicKeySet.keys[1].d', /private/],
    [jwk({ x: 'AA' }), 'payload.publicKeySet.keys[1].x', /32 bytes/],
    [jwk({ y: '=' }), 'payload.publicKeySet.keys[1].y', /base64url/],
    [jwk({ kid: '0' }), 'payload.publicKeySet.keys[1].kid', /twice/],
    [jwk({ x5c: ['_w'] }), 'payload.publicKeySet.keys[1].x5c[0]', /base64/],
    [jwk({ x5c: [7] }), 'payload.publicKeySet.keys[1].x5c[0]', /string/],
    [payload('deviceId', 'short'), 'payload.eui64', /missing/],
    [payload('modelInfo', { deviceRevision: '00' }), 'payload.modelInfo.deviceRevision', /4 bytes/],
    [
      payload('modelInfo', { publicData: [{ zone: 'rom', data: 'AA' }] }),
      'payload.modelInfo.publicData[0].zone',
      /data, otp/,
    ],
  ];
  for (const [read, member, problem] of cases) assert.throws(read, fault(member, problem), member);
});

test('another version, algorithm or a critical header is not supported', () => {
  const cases = [
    alteredPart('payload', (members) => void Object.assign(members, { version: 3 })),
    alteredPart('protected', (members) => void Object.assign(members, { alg: 'none' })),
    alteredPart('protected', (members) => void Object.assign(members, { alg: 'HS256' })),
    alteredPart('protected', (members) => void Object.assign(members, { crit: ['b64'] })),
  ];
  for (const read of cases) assert.throws(read, UnsupportedError);
});

test('the same key in two slots is refused', () => {
  const read = alteredPart('payload', (members) => {
    const keys = (members['publicKeySet'] as { keys: Array<Record<string, string>> }).keys;
    Object.assign(keys[2] as object, { x: keys[1]?.['x'], y: keys[1]?.['y'] });
  });
  assert.throws(read, fault('payload.publicKeySet.keys[2].x', /another slot/));
});

test('the splitter finds the same entries however the file is cut', () => {
  const one = '{"a":"}\\"]","b":{"c":[{}]}}';
  const file = utf8(`\t[ ${one} ,\r\n${one}, {} ]\n`);
  fc.assert(
    fc.property(fc.array(fc.nat(file.length), { maxLength: 8 }), (cuts) => {
      const splitter = new EntrySplitter();
      const entries = [];
      let start = 0;
      for (const end of [...cuts.toSorted((left, right) => left - right), file.length]) {
        entries.push(...splitter.push(file.slice(start, end)));
        start = end;
      }
      assert.equal(splitter.end(), 3);
      const texts = entries.map(({ bytes }) => Buffer.from(bytes).toString());
      assert.deepEqual(texts, [one, one, '{}']);
      for (const { offset, bytes } of entries) {
        assert.deepEqual(file.slice(offset, offset + bytes.length), bytes);
      }
    }),
  );
});

test('what is not an array of entries is refused with its offset', () => {
  const cases: Array<[string, number, RegExp]> = [
    ['', 0, /ends before/],
    ['{}', 0, /begins with/],
    ['[', 1, /ends before/],
    ['[1]', 1, /an entry or/],
    ['[{}', 3, /ends before/],
    ['[{} {}]', 4, /"," or/],
    ['[{},]', 4, /an entry expected/],
    ['[{}]x', 4, /after the end/],
    ['[{"a', 4, /ends before/],
  ];
  for (const [text, offset, problem] of cases) {
    const read = () => {
      const splitter = new EntrySplitter();
      splitter.push(utf8(text));
      splitter.end();
    };
    assert.throws(read, (error) => {
      assert.ok(error instanceof MalformedError);
      assert.equal(error.offset, offset, text);
      return problem.test(error.message);
    });
  }
});

test('an entry that never ends is not collected', () => {
  const splitter = new EntrySplitter();
  splitter.push(utf8('[{"a":"'));
  const more = new Uint8Array(8192).fill(0x61);
  const flood = () => {
    for (let held = 0; held < 2 * maximumEntryBytes; held += more.length) splitter.push(more);
  };
  assert.throws(flood, /longer than 65536 bytes/);
});

test('an entry of ours is signed, read back whole and verifies', () => {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  const record = ownRecord();
  const prepared = prepareEntry(record, {
    keyId: Uint8Array.of(1, 2, 3),
    certificateSha256: new Uint8Array(32).fill(9),
  });
  const signature = sign('sha256', prepared.toBeSigned, {
    key: privateKey,
    dsaEncoding: 'ieee-p1363',
  });
  const text = prepared.finish(signature);
  assert.throws(() => prepared.finish(signature), TypeError);
  const [first, second] = entriesOf(utf8([...manifestText([text, text])].join('')));
  assert.ok(first && second);
  assert.deepEqual(first.record, record);
  assert.deepEqual(first.headerUniqueId, record.uniqueId);
  const key = { key: publicKey, dsaEncoding: 'ieee-p1363' } as const;
  assert.ok(verify('sha256', second.signingInput, key, second.signature));
  assert.equal([...manifestText([])].join(''), '[]\n');
});

test('a record that no reader would accept is not signed', () => {
  const signer = { keyId: Uint8Array.of(1), certificateSha256: new Uint8Array(32) };
  const tooLong = { ...ownRecord(), model: 'x'.repeat(300) };
  assert.throws(() => prepareEntry(tooLong, signer), /payload\.model/);
  const prepared = prepareEntry(ownRecord(), signer);
  assert.throws(() => prepared.finish(new Uint8Array(70)), TypeError);
});

test('timestamps are RFC 3339 in UTC', () => {
  assert.equal(parseTimestamp('1970-01-01T00:00:00Z'), 0);
  assert.equal(parseTimestamp('2000-02-29T23:59:59.999999Z'), 951_868_799_999);
  for (const text of [
    '2001-02-29T00:00:00Z',
    '2001-01-01T00:00:00+00:00',
    '2001-01-01 00:00:00Z',
  ]) {
    assert.equal(parseTimestamp(text), undefined, text);
  }
  assert.equal(parseTimestamp('2016-12-31T23:59:60Z'), undefined);
  fc.assert(
    fc.property(fc.integer({ min: -62_167_219_200_000, max: 253_402_300_799_999 }), (timeMs) => {
      assert.equal(formatTimestamp(timeMs), new Date(timeMs).toISOString());
      assert.equal(parseTimestamp(formatTimestamp(timeMs)), timeMs);
    }),
  );
});

function ownRecord(): ElementRecord {
  const point = (): Uint8Array => {
    const { x = '', y = '' } = generateKeyPairSync('ec', {
      namedCurve: 'prime256v1',
    }).publicKey.export({ format: 'jwk' });
    const coordinates = [x, y].map((text) => parseBase64url(text) ?? new Uint8Array());
    return concat(Uint8Array.of(4), ...coordinates);
  };
  return {
    model: 'soft-1',
    partNumber: 'thermometer',
    manufacturer: { organizationName: 'Birthmark' },
    provisioner: { organizationName: 'Maker', organizationalUnitName: 'Line 2' },
    distributor: { organizationName: 'Maker' },
    groupId: 'batch-7',
    provisionedMs: Date.parse('2026-01-02T03:04:05.006Z'),
    uniqueId: Uint8Array.of(1, 2, 3, 4),
    keys: [
      { slot: 'sign', point: point(), certificates: [Uint8Array.of(1), Uint8Array.of(2, 3)] },
      { slot: 'agree', point: point(), certificates: [] },
    ],
    modelInfo: undefined,
    birth: {
      deviceId: '0123456789abcdef',
      eui64: Uint8Array.of(0, 1, 2, 3, 4, 5, 6, 7),
      product: 'thermometer',
      batch: 'batch-7',
      family: 'software',
      proofLevel: 'line-anchored',
    },
  };
}
