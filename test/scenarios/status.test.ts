/** The door for the status of certificates: headers, bad input, revocation from the registry to the list. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { connect } from 'node:net';
import { test } from 'node:test';
import { nodeCrypto } from '../../src/drivers/keys/software/nodeCrypto.ts';
import { isRefusal } from '../../src/trust/ports/faults.ts';
import type { StatusOrder } from '../../src/trust/ports/statusOrders.ts';
import { toBase64 } from '../../src/wire/bytes/base64.ts';
import { findRevoked, parseCertificateList } from '../../src/wire/crl/certificateList.ts';
import { encodeCertId, encodeOcspRequest } from '../../src/wire/ocsp/request.ts';
import { parseOcspResponse } from '../../src/wire/ocsp/response.ts';
import { parseCertificate } from '../../src/wire/x509/certificate.ts';
import {
  allowed,
  fetchPlain,
  type PlainAnswer,
  postPlain,
  type StatusHouse,
  statusHouse,
  until,
} from '../support/statusHouse.ts';

const requestType = 'application/ocsp-request';

function requestFor(
  leaf: Uint8Array,
  issuer: Uint8Array,
  hashAlgorithm: 'SHA-1' | 'SHA-256' = 'SHA-256',
): Uint8Array {
  const { subject, publicKey } = parseCertificate(issuer);
  const serialNumber = parseCertificate(leaf).serialNumber;
  return encodeOcspRequest(
    encodeCertId({
      hashAlgorithm,
      issuerNameHash: nodeCrypto.hash(hashAlgorithm, subject.der),
      issuerKeyHash: nodeCrypto.hash(hashAlgorithm, publicKey.key),
      serialNumber,
    }),
  );
}

function statusIn({ body }: PlainAnswer): string {
  const response = parseOcspResponse(body);
  if (typeof response === 'string') return response;
  return response.responses[0]?.status.kind ?? 'nothing';
}

function sha256Of(certificate: Uint8Array): string {
  return createHash('sha256').update(certificate).digest('hex');
}

async function enrolled(house: StatusHouse, name: string) {
  const [leaf, issuer] = await house.enrol(name);
  assert.ok(leaf && issuer);
  const request = requestFor(leaf, issuer);
  const url = `${house.url}/ocsp/server/${encodeURIComponent(toBase64(request))}`;
  return { leaf, issuer, request, url };
}

test('RFC 9919 §7.2: an answer says how long it may be kept, and by what it is known again', async (context) => {
  const house = await statusHouse(context);
  const { url, request } = await enrolled(house, 'dashboard');
  const first = await fetchPlain(url);
  assert.equal(first.status, 200);
  const { headers } = first;
  assert.equal(headers['content-type'], 'application/ocsp-response');
  assert.equal(headers['content-length'], String(first.body.length));
  assert.equal(headers.etag, `"${createHash('sha256').update(first.body).digest('hex')}"`);
  const answer = parseOcspResponse(first.body);
  assert.ok(typeof answer === 'object');
  const [single] = answer.responses;
  assert.ok(single?.nextUpdateMs);
  assert.equal(Date.parse(headers['last-modified'] ?? ''), single.thisUpdateMs);
  assert.equal(Date.parse(headers.expires ?? ''), single.nextUpdateMs);
  const control = headers['cache-control'] ?? '';
  const maxAge = Number(
    /^max-age=(\d+), public, no-transform, must-revalidate$/.exec(control)?.[1],
  );
  assert.ok(maxAge > 0 && maxAge <= 900, control);
  const again = await fetchPlain(url, { 'if-none-match': headers.etag ?? '' });
  assert.deepEqual([again.status, again.body.length], [304, 0]);
  assert.equal(again.headers.etag, headers.etag);
  const weak = await fetchPlain(url, { 'if-none-match': `"x", W/${headers.etag ?? ''}` });
  assert.equal(weak.status, 304);
  assert.equal((await fetchPlain(url, { 'if-none-match': '"x"' })).status, 200);
  const posted = await postPlain(`${house.url}/ocsp/server`, requestType, request);
  assert.deepEqual(posted.body, first.body);
});

test('lists and authorities say how long they may be kept', async (context) => {
  const house = await statusHouse(context);
  const url = `${house.url}/crl/operational/2.crl`;
  await until(async () => (await fetchPlain(url)).status === 200);
  const { headers, body } = await fetchPlain(url);
  const list = parseCertificateList(body);
  assert.equal(headers['content-type'], 'application/pkix-crl');
  assert.equal(Date.parse(headers['last-modified'] ?? ''), list.thisUpdateMs);
  assert.equal(Date.parse(headers.expires ?? ''), list.nextUpdateMs);
  assert.equal(headers['cache-control'], 'max-age=300, public, no-transform, must-revalidate');
  const again = await fetchPlain(url, { 'if-none-match': headers.etag ?? '' });
  assert.equal(again.status, 304);
  const certificate = await fetchPlain(`${house.url}/ca/operational.cer`);
  const { operational } = await house.issuing.hierarchy();
  assert.deepEqual(certificate.body, operational[0]);
  assert.equal(certificate.headers['cache-control'], 'max-age=86400, public');
});

test('what is not authoritative is kept by nobody', async (context) => {
  const house = await statusHouse(context);
  const { request, leaf, issuer } = await enrolled(house, 'dashboard');
  const { operational } = await house.issuing.hierarchy();
  const foreign = requestFor(leaf, operational[0] ?? new Uint8Array(0));
  const at = (authority: string): string => `${house.url}/ocsp/${authority}`;
  const cases: ReadonlyArray<readonly [expected: string, answer: PlainAnswer]> = [
    ['unauthorized', await postPlain(at('operational'), requestType, foreign)],
    ['unauthorized', await postPlain(at('operational'), requestType, request)],
    ['unauthorized', await postPlain(at('root'), requestType, requestFor(issuer, issuer))],
    ['unauthorized', await postPlain(at('nobody'), requestType, request)],
    ['malformedRequest', await postPlain(at('server'), requestType, request.subarray(1))],
    ['malformedRequest', await postPlain(at('server'), requestType, new Uint8Array(0))],
    ['malformedRequest', await postPlain(at('server'), requestType, new Uint8Array(4096))],
    ['malformedRequest', await fetchPlain(`${at('server')}/!!!!`)],
    ['malformedRequest', await fetchPlain(`${at('server')}/${toBase64(request).slice(4)}`)],
    ['malformedRequest', await fetchPlain(`${at('server')}/`)],
  ];
  for (const [index, [expected, answer]] of cases.entries()) {
    assert.equal(answer.status, 200, `case ${index}`);
    assert.equal(statusIn(answer), expected, `case ${index}`);
    assert.equal(answer.headers['cache-control'], 'no-store');
    assert.equal(answer.headers.etag, undefined);
  }
  const problems: ReadonlyArray<readonly [status: number, answer: PlainAnswer]> = [
    [415, await postPlain(at('server'), 'application/octet-stream', request)],
    [413, await postPlain(at('server'), requestType, new Uint8Array(4097))],
    [404, await fetchPlain(`${house.url}/crl/server/99.crl`)],
    [404, await fetchPlain(`${house.url}/crl/server/01.crl`)],
    [404, await fetchPlain(`${house.url}/crl/nobody/0.crl`)],
    [404, await fetchPlain(`${house.url}/crl/server/..%2f..%2froot.crl`)],
    [404, await fetchPlain(`${house.url}/ca/nobody.cer`)],
    [404, await fetchPlain(`${house.url}/ca/root.key`)],
    [404, await fetchPlain(`${house.url}/`)],
    [404, await fetchPlain(at('nobody'))],
    [400, await fetchPlain(`${house.url}/ocsp/server/%zz`)],
  ];
  for (const [index, [status, answer]] of problems.entries()) {
    assert.equal(answer.status, status, `problem ${index}`);
    assert.match(answer.headers['content-type'] ?? '', /^application\/problem\+json/);
    assert.equal(answer.headers['cache-control'], 'no-store', `problem ${index}`);
    assert.doesNotMatch(Buffer.from(answer.body).toString(), /node_modules|\.ts:/);
  }
});

test('no HTTP at all, and the door goes on', async (context) => {
  const house = await statusHouse(context);
  const { url } = await enrolled(house, 'dashboard');
  const { port } = new URL(house.url);
  for (const noise of ['\0\0\0\0', 'GET\r\n\r\n', `GET /${'x'.repeat(20_000)} HTTP/1.1\r\n\r\n`]) {
    const socket = connect({ host: '127.0.0.1', port: Number(port) });
    socket.on('error', () => undefined);
    socket.end(noise);
    await new Promise((resolve) => socket.once('close', resolve));
  }
  assert.equal(statusIn(await fetchPlain(url)), 'good');
});

test('from the registry to answer and list: revoked, held, reinstated, by certificate', async (context) => {
  const house = await statusHouse(context);
  const [one, two] = [await enrolled(house, 'one'), await enrolled(house, 'two')];
  for (const { url } of [one, two]) assert.equal(statusIn(await fetchPlain(url)), 'good');
  allowed(await house.operator.hold(sha256Of(one.leaf), 'lent'));
  allowed(await house.operator.revokeCertificate(sha256Of(two.leaf), 'stolen'));
  // Never good again, from the moment on that the operator was answered.
  for (const { url } of [one, two]) {
    await until(async () => {
      const status = statusIn(await fetchPlain(url));
      assert.notEqual(status, 'good');
      return status === 'revoked';
    });
  }
  const listed = async ({ leaf }: { readonly leaf: Uint8Array }): Promise<string | undefined> => {
    const serial = parseCertificate(leaf).serialNumber;
    const shard = (serial.at(-1) ?? 0) & 3;
    const { status, body } = await fetchPlain(`${house.url}/crl/server/${shard}.crl`);
    if (status !== 200) return undefined;
    const magnitude = serial[0] === 0 ? serial.subarray(1) : serial;
    return findRevoked(parseCertificateList(body), magnitude)?.reason;
  };
  await until(async () => (await listed(one)) === 'certificateHold');
  await until(async () => (await listed(two)) === 'unspecified');
  allowed(await house.operator.reinstate(sha256Of(one.leaf), 'returned'));
  await until(async () => statusIn(await fetchPlain(one.url)) === 'good');
  await until(async () => (await listed(one)) === undefined);
  assert.equal(statusIn(await fetchPlain(two.url)), 'revoked');
  assert.deepEqual(house.troubles, []);
});

test('while the authority is away: kept answers and lists serve, new questions wait', async (context) => {
  const house = await statusHouse(context);
  const [one, two] = [await enrolled(house, 'one'), await enrolled(house, 'two')];
  const list = `${house.url}/crl/server/1.crl`;
  await until(async () => (await fetchPlain(list)).status === 200);
  assert.equal(statusIn(await fetchPlain(one.url)), 'good');
  await house.closeAuthority();
  assert.equal(statusIn(await fetchPlain(one.url)), 'good');
  assert.equal((await fetchPlain(list)).status, 200);
  const later = await fetchPlain(two.url);
  assert.equal(statusIn(later), 'tryLater');
  assert.equal(later.headers['cache-control'], 'no-store');
  assert.equal((await fetchPlain(`${house.url}/crl/operational/0.crl`)).status, 503);
  // Revoked while nobody can sign it: the good answer is gone all the same.
  allowed(await house.operator.revokeCertificate(sha256Of(one.leaf), 'stolen'));
  assert.equal(statusIn(await fetchPlain(one.url)), 'tryLater');
  await house.startAuthority();
  await until(async () => statusIn(await fetchPlain(one.url)) === 'revoked');
  await until(async () => statusIn(await fetchPlain(two.url)) === 'good');
});

test('an order over the local door: counted, then carried out', async (context) => {
  const house = await statusHouse(context);
  const { leaf, url } = await enrolled(house, 'dashboard');
  assert.equal(statusIn(await fetchPlain(url)), 'good');
  const order: StatusOrder = {
    act: 'revoke',
    scope: { by: 'certificate', sha256: nodeCrypto.hash('SHA-256', leaf) },
    code: 'keyCompromise',
    reason: 'copied',
    dryRun: true,
  };
  const dry = allowed(await house.operator.statusStep(order, undefined));
  assert.deepEqual([dry.certificates, dry.changed, dry.next], [1, 1, undefined]);
  assert.equal(statusIn(await fetchPlain(url)), 'good');
  const done = allowed(await house.operator.statusStep({ ...order, dryRun: false }, undefined));
  assert.equal(done.changed, 1);
  // The step ends when the authority knows.
  const response = parseOcspResponse((await fetchPlain(url)).body);
  assert.ok(typeof response === 'object');
  const [single] = response.responses;
  assert.ok(single?.status.kind === 'revoked' && single.status.reason === 'keyCompromise');
  const unknown = { ...order, scope: { by: 'batch', name: 'nobody' } } as const;
  const refusal = await house.operator.statusStep(unknown, undefined);
  assert.equal(isRefusal(refusal) && refusal.refused, 'unknown-name');
});
