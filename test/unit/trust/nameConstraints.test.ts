import assert from 'node:assert/strict';
import { test } from 'node:test';
import { subtreeOf } from '../../../src/trust/issuance/permittedHosts.ts';
import { excludedName } from '../../../src/trust/peers/nameConstraints.ts';
import { fromHex } from '../../../src/wire/bytes/hex.ts';
import { nullElement } from '../../../src/wire/der/writer.ts';
import type { GeneralName } from '../../../src/wire/x509/generalNames.ts';
import type { Certificate } from '../../../src/wire/x509/model.ts';
import { encodeName, name, type NamePart } from '../../../src/wire/x509/names.ts';
import { testRoot } from '../../support/pki.ts';

const issuer = testRoot('Issuer');

const subjectOf = (...parts: readonly NamePart[]): Certificate =>
  issuer.issue({ subject: encodeName(...parts), extensions: [] }).certificate;

const nobody = subjectOf();

const broken = (
  constrained: GeneralName,
  names: readonly GeneralName[],
  certificate: Certificate = nobody,
): { readonly permitted: boolean; readonly excluded: boolean } => ({
  permitted:
    excludedName(certificate, names, [{ permitted: [constrained], excluded: [] }]) !== undefined,
  excluded:
    excludedName(certificate, names, [{ permitted: [], excluded: [constrained] }]) !== undefined,
});

const inside = { permitted: false, excluded: true };
const outside = { permitted: true, excluded: false };
/** Neither surely within nor surely beyond: refused both ways. */
const unknown = { permitted: true, excluded: true };

const dns = (text: string): GeneralName => ({ kind: 'dNSName', text });
const mailbox = (text: string): GeneralName => ({ kind: 'rfc822Name', text });
const uri = (text: string): GeneralName => ({ kind: 'uniformResourceIdentifier', text });
const address = (hex: string): GeneralName => ({ kind: 'iPAddress', address: fromHex(hex) });

test('RFC 5280 §4.2.1.10: DNS names', () => {
  for (const [base, text, expected] of [
    ['example.com', 'example.com', inside],
    ['example.com', 'EXAMPLE.com.', inside],
    ['example.com', 'host.example.com', inside],
    ['example.com', 'badexample.com', outside],
    ['example.com', 'com', outside],
    ['.example.com', 'host.example.com', inside],
    ['.example.com', 'example.com', outside],
    ['', 'anything', inside],
    ['host.example.com', '*.example.com', unknown],
    ['example.com', '*.example.com', inside],
    ['host.example.com', '*.example.org', outside],
  ] as const) {
    assert.deepEqual(broken(dns(base), [dns(text)]), expected, `${base} ${text}`);
  }
});

test('RFC 5280 §4.2.1.10: mailboxes, of the alternative names or the subject', () => {
  for (const [base, text, expected] of [
    ['root@example.com', 'root@example.com', inside],
    ['root@example.com', 'root@EXAMPLE.com', inside],
    ['root@example.com', 'Root@example.com', outside],
    ['example.com', 'anyone@example.com', inside],
    ['example.com', 'anyone@host.example.com', outside],
    ['.example.com', 'anyone@host.example.com', inside],
    ['example.com', 'no-mailbox', unknown],
    ['', 'a@b', inside],
  ] as const) {
    assert.deepEqual(broken(mailbox(base), [mailbox(text)]), expected, `${base} ${text}`);
  }
  const person = subjectOf(['emailAddress', 'a@example.com']);
  assert.deepEqual(broken(mailbox('example.com'), [], person), inside);
  const other = broken(mailbox('example.com'), [mailbox('a@example.org')], person);
  assert.deepEqual(other, outside);
});

test('RFC 5280 §4.2.1.10: URIs by their host', () => {
  for (const [base, text, expected] of [
    ['host.example.com', 'https://host.example.com/a', inside],
    ['host.example.com', 'https://user@HOST.example.com:8443?x', inside],
    ['host.example.com', 'https://host.example.com.evil.org/', outside],
    ['host.example.com', 'https://evil.org/?https://host.example.com', outside],
    ['.example.com', 'coaps://a.b.example.com', inside],
    ['.example.com', 'https://example.com', outside],
    ['example.com', 'urn:uuid:0', unknown],
    ['example.com', 'https://[::1]/', unknown],
    ['', 'urn:uuid:0', inside],
  ] as const) {
    assert.deepEqual(broken(uri(base), [uri(text)]), expected, `${base} ${text}`);
  }
});

test('RFC 5280 §4.2.1.10: addresses and their masks', () => {
  for (const [base, text, expected] of [
    ['c0000200ffffff00', 'c00002ff', inside],
    ['c0000200ffffff00', 'c0000300', outside],
    ['0000000000000000', '7f000001', inside],
    ['0000000000000000', '00'.repeat(16), outside],
    ['00'.repeat(32), '00'.repeat(16), inside],
    ['c00002', 'c0000200', unknown],
    ['c0000200ffffff00', 'c00002', unknown],
  ] as const) {
    assert.deepEqual(broken(address(base), [address(text)]), expected, `${base} ${text}`);
  }
});

test('RFC 5280 §4.2.1.10: directory names, also of the subject', () => {
  const base: GeneralName = { kind: 'directoryName', name: name(['organizationName', 'A']) };
  assert.deepEqual(
    broken(base, [], subjectOf(['organizationName', 'a'], ['commonName', 'x'])),
    inside,
  );
  assert.deepEqual(broken(base, [], subjectOf(['organizationName', 'B'])), outside);
  assert.deepEqual(broken(base, [], nobody), { permitted: false, excluded: false });
});

test('kinds of names that cannot be judged are refused where they are constrained', () => {
  const other: GeneralName = { kind: 'otherName', typeId: '1.2.3', value: nullElement };
  assert.deepEqual(broken(other, [other]), unknown);
  assert.deepEqual(broken(dns(''), [other]), { permitted: false, excluded: false });
});

test('every authority above has to permit, any may exclude; too many names are one too many', () => {
  const permits = (text: string): { permitted: GeneralName[]; excluded: GeneralName[] } => ({
    permitted: [dns(text)],
    excluded: [],
  });
  const names = [dns('a.example.com')];
  assert.equal(excludedName(nobody, names, [permits('example.com'), permits('com')]), undefined);
  assert.equal(excludedName(nobody, names, [permits('example.com'), permits('org')]), 'dNSName');
  const many = Array.from({ length: 300 }, () => dns('a.example.com'));
  assert.equal(excludedName(nobody, many, [permits('example.com')]), 'dNSName');
  assert.equal(excludedName(nobody, many, []), undefined);
});

test('a range of addresses is whole, and no longer than an address', () => {
  const host4 = [192, 0, 2, 1, 255, 255, 255, 255];
  for (const [text, address] of [
    ['192.0.2.1/32', host4],
    ['192.0.2.0/24', [192, 0, 2, 0, 255, 255, 255, 0]],
    ['0.0.0.0/0', [0, 0, 0, 0, 0, 0, 0, 0]],
    ['192.0.2.0/33', undefined],
    ['192.0.2.1/24', undefined],
    ['::/129', undefined],
  ] as const) {
    const found = subtreeOf(text);
    assert.deepEqual(
      found?.kind === 'iPAddress' ? [...found.address] : found,
      address === undefined ? undefined : [...address],
      text,
    );
  }
  const host = subtreeOf('2001:db8::1/128');
  assert.ok(
    host?.kind === 'iPAddress' && host.address.subarray(16).every((octet) => octet === 255),
  );
});
