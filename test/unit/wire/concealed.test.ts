/** RFC 9729: what is signed, and what stands in the header. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toBase64url } from '../../../src/wire/bytes/base64.ts';
import { toHex } from '../../../src/wire/bytes/hex.ts';
import { MalformedError } from '../../../src/wire/bytes/malformed.ts';
import { utf8 } from '../../../src/wire/bytes/utf8.ts';
import {
  concealedContext,
  encodeConcealed,
  parseConcealed,
  splitExport,
} from '../../../src/wire/http/concealed.ts';

const publicKey = Uint8Array.from({ length: 65 }, (_, at) => (at === 0 ? 4 : at));
const proof = {
  keyId: utf8('ada'),
  publicKey,
  verification: new Uint8Array(16).fill(7),
  signature: new Uint8Array(70).fill(9),
};
const header = encodeConcealed(proof);

test('the context names key, scheme, host and port, lengths in the fewest octets', () => {
  const context = concealedContext({ ...proof, host: 'a.example', port: 8444 });
  assert.equal(
    toHex(context),
    // 0x4041: 65 in two octets of RFC 9000 section 16, since one tells 63 at most.
    `0403036164614041${toHex(publicKey)}05${toHex(utf8('https'))}09${toHex(utf8('a.example'))}20fc00`,
  );
});

test('what is signed is the example of section 3.3', () => {
  const exported = Uint8Array.from({ length: 48 }, (_, at) => (at < 32 ? 1 : 2));
  const { toBeSigned, verification } = splitExport(exported);
  const name = toHex(utf8('HTTP Concealed Authentication'));
  assert.equal(toHex(toBeSigned), `${'20'.repeat(64)}${name}00${'01'.repeat(32)}`);
  assert.deepEqual(verification, new Uint8Array(16).fill(2));
  assert.throws(() => splitExport(exported.slice(1)), TypeError);
});

test('the header comes back, whatever the order and the case of names', () => {
  assert.deepEqual(parseConcealed(header), proof);
  const [scheme = '', ...rest] = header.split(/(?<=Concealed) /);
  const parameters = rest.join('').split(', ').toReversed();
  assert.deepEqual(parseConcealed(`${scheme.toLowerCase()}  ${parameters.join(' ,\t')}`), proof);
  assert.deepEqual(parseConcealed(header.replace('k=', 'K=')), proof);
});

test('what is not as section 4 says is malformed', () => {
  const point = toBase64url(publicKey);
  for (const [why, bad] of [
    ['another scheme', header.replace('Concealed', 'Bearer')],
    ['no parameters', 'Concealed'],
    ['Ed25519', header.replace('s=1027', 's=2055')],
    ['a scheme with a zero in front', header.replace('s=1027', 's=01027')],
    ['a parameter twice', `${header}, s=1027`],
    ['an unknown parameter', `${header}, realm=x`],
    ['a missing parameter', header.replace(/, v=[^,]+/, '')],
    ['padding', header.replace('k=YWRh', 'k=YWRhYQ==')],
    ['quotes', header.replace('k=YWRh', 'k="YWRh"')],
    ['no key ID', header.replace('k=YWRh', 'k=')],
    [
      'a compressed point',
      header.replace(point, toBase64url(publicKey.slice(0, 33).fill(2, 0, 1))),
    ],
    ['another form of point', header.replace(point, toBase64url(publicKey.slice().fill(6, 0, 1)))],
    ['a short verification', header.replace(/v=[^,]+/, 'v=BwcH')],
    ['a long header', `${header}${' '.repeat(1024)}`],
  ] as const) {
    assert.throws(() => parseConcealed(bad), MalformedError, why);
  }
});
