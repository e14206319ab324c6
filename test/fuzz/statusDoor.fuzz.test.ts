/** Whatever is asked at the door for the status of certificates gets an answer of HTTP and OCSP, and nothing breaks. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { statusApp } from '../../src/servers/http/status.ts';
import { Answers } from '../../src/trust/status/answers.ts';
import { StatusDesk } from '../../src/trust/status/desk.ts';
import { PublishedLists } from '../../src/trust/status/publishedLists.ts';
import { concat } from '../../src/wire/bytes/bytes.ts';
import { toBase64 } from '../../src/wire/bytes/base64.ts';
import { contextConstructed, tags } from '../../src/wire/der/tags.ts';
import * as der from '../../src/wire/der/writer.ts';
import { encodeOcspRequest } from '../../src/wire/ocsp/request.ts';
import { parseOcspResponse } from '../../src/wire/ocsp/response.ts';
import { corpusOf, mutated } from '../support/fuzz.ts';
import { deviceIdOf } from '../support/registrySamples.ts';
import { StatusWorld } from '../support/status.ts';
import { isNightly } from '../support/nightly.ts';

const numRuns = isNightly ? 50_000 : 1_000;
const requestType = 'application/ocsp-request';

interface Asked {
  readonly http: number;
  /** `good`, `revoked`, or why there is no answer; `undefined` for what is no OCSP. */
  readonly status: string | undefined;
}

interface House {
  readonly post: (body: Uint8Array, type?: string) => Promise<Asked>;
  readonly get: (path: string) => Promise<Asked>;
  /** DER of the CertID of a good certificate. */
  readonly certId: Uint8Array;
  readonly world: StatusWorld;
}

async function house(context: { after(done: () => void): void }): Promise<House> {
  const world = await StatusWorld.create(context);
  const open = await world.open();
  const { serialNumber } = await world.issue(open, deviceIdOf(1));
  await open.lists.advance();
  const desk = new StatusDesk(open.store, open.responder);
  const limits = { signing: { perSecond: 1e9, burst: 1e9 } };
  const app = statusApp({
    answers: new Answers({ authority: desk, clock: world.world.clock, limits }),
    lists: new PublishedLists(desk),
    certificate: (name) => desk.certificate(name),
    clock: world.world.clock,
    onRefusal: (code) => assert.match(code, /^[a-zA-Z-]{3,40}$/),
  });
  const read = (response: { statusCode: number; headers: object; rawPayload: Buffer }): Asked => {
    assert.ok(response.statusCode < 500, response.rawPayload.toString());
    const type: unknown = Reflect.get(response.headers, 'content-type');
    if (type !== 'application/ocsp-response') {
      return { http: response.statusCode, status: undefined };
    }
    const answer = parseOcspResponse(new Uint8Array(response.rawPayload));
    const status = typeof answer === 'string' ? answer : answer.responses[0]?.status.kind;
    return { http: response.statusCode, status };
  };
  return {
    world,
    certId: world.certId('operational', serialNumber, 'SHA-256'),
    post: async (body, type = requestType) => {
      const headers = { 'content-type': type };
      const payload = Buffer.from(body);
      return read(await app.inject({ method: 'POST', url: '/ocsp/operational', headers, payload }));
    },
    get: async (path) => read(await app.inject({ method: 'GET', url: path })),
  };
}

/** RFC 6960 §4.1.1, member by member. */
function requestOf(
  certIds: readonly Uint8Array[],
  {
    extensions = [],
    before = [],
    behind = [],
  }: Partial<Record<'extensions' | 'before' | 'behind', readonly Uint8Array[]>> = {},
): Uint8Array {
  const list = der.sequence(...certIds.map((certId) => der.sequence(certId)));
  const more = extensions.length === 0 ? [] : [der.explicit(2, der.sequence(...extensions))];
  return der.sequence(der.sequence(...before, list, ...more), ...behind);
}

function extension(oid: string, value: Uint8Array, critical = false): Uint8Array {
  return der.sequence(
    der.oid(oid),
    ...(critical ? [der.boolean(true)] : []),
    der.octetString(value),
  );
}

const nonceOid = '1.3.6.1.5.5.7.48.1.2';

function certIdWith(
  serial: Uint8Array,
  hashBytes = 32,
  oid = '2.16.840.1.101.3.4.2.1',
): Uint8Array {
  const hash = der.octetString(new Uint8Array(hashBytes));
  return der.sequence(der.sequence(der.oid(oid), der.nullElement), hash, hash, serial);
}

/** Every kind of request that is wrong, or odd and right, and what is said of it. */
function kinds(
  certId: Uint8Array,
): ReadonlyArray<readonly [kind: string, request: Uint8Array, status: string]> {
  const good = encodeOcspRequest(certId);
  const nonce = (bytes: number): Uint8Array =>
    requestOf([certId], {
      extensions: [extension(nonceOid, der.octetString(new Uint8Array(bytes)))],
    });
  const malformed: ReadonlyArray<readonly [string, Uint8Array]> = [
    ['nothing', new Uint8Array(0)],
    ['cut short', good.subarray(0, -1)],
    ['something behind it', concat(good, Uint8Array.of(0))],
    ['twice', concat(good, good)],
    ['an indefinite length', Uint8Array.of(0x30, 0x80, 0, 0)],
    [
      'a length that is longer than it need be',
      concat(Uint8Array.of(0x30, 0x81, good[1] ?? 0), good.subarray(2)),
    ],
    ['a length of four gigabytes', Uint8Array.of(0x30, 0x84, 0xff, 0xff, 0xff, 0xff)],
    ['another type', der.octetString(good)],
    ['no list', der.sequence(der.sequence())],
    ['an empty list', requestOf([])],
    ['seventeen certificates', requestOf(Array.from({ length: 17 }, () => certId))],
    ['version 2', requestOf([certId], { before: [der.explicit(0, der.integer(1))] })],
    ['a serial number that is empty', requestOf([certIdWith(der.element(tags.integer))])],
    ['a serial number that is text', requestOf([certIdWith(der.utf8String('1'))])],
    [
      'an issuer that is no octets',
      requestOf([
        der.sequence(
          der.sequence(der.oid('1.3.14.3.2.26')),
          der.nullElement,
          der.nullElement,
          der.integer(1),
        ),
      ]),
    ],
    ['a nonce of no octets', nonce(0)],
    ['a nonce of 129 octets', nonce(129)],
    [
      'an extension that must be understood',
      requestOf([certId], { extensions: [extension('1.2.3.4', der.nullElement, true)] }),
    ],
    [
      'an extension without value',
      requestOf([certId], { extensions: [der.sequence(der.oid(nonceOid))] }),
    ],
    [
      'a third member',
      requestOf([certId], { behind: [der.explicit(0, der.sequence()), der.nullElement] }),
    ],
    [
      'forty layers',
      Array.from({ length: 40 }).reduce<Uint8Array>(
        (inner) => der.sequence(inner),
        der.nullElement,
      ),
    ],
    ['four kilobytes of nothing', new Uint8Array(4096)],
  ];
  const odd: ReadonlyArray<readonly [string, Uint8Array, string]> = [
    [
      'a negative serial number',
      requestOf([certIdWith(der.element(tags.integer, Uint8Array.of(0x80)))]),
      'unauthorized',
    ],
    [
      'a serial number of 60 octets',
      requestOf([certIdWith(der.unsignedInteger(new Uint8Array(60).fill(1)))]),
      'unauthorized',
    ],
    ['hashes of another length', requestOf([certIdWith(der.integer(1), 5)]), 'unauthorized'],
    [
      'a hash that is not known',
      requestOf([certIdWith(der.integer(1), 48, '2.16.840.1.101.3.4.2.2')]),
      'unauthorized',
    ],
    ['one known and one not', requestOf([certId, certIdWith(der.integer(1))]), 'unauthorized'],
    ['sixteen times the same', requestOf(Array.from({ length: 16 }, () => certId)), 'good'],
    ['version 1, said', requestOf([certId], { before: [der.explicit(0, der.integer(0))] }), 'good'],
    [
      'a requestor',
      requestOf([certId], { before: [der.element(contextConstructed(1), der.sequence())] }),
      'good',
    ],
    ['a signature', requestOf([certId], { behind: [der.explicit(0, der.sequence())] }), 'good'],
    [
      'an extension that need not be',
      requestOf([certId], { extensions: [extension('1.2.3.4', der.nullElement)] }),
      'good',
    ],
    ['a nonce of one octet', nonce(1), 'good'],
    ['a nonce of 128 octets', nonce(128), 'good'],
  ];
  return [...malformed.map((one) => [...one, 'malformedRequest'] as const), ...odd];
}

test('every kind of request, by POST and by GET', async (context) => {
  const { post, get, certId } = await house(context);
  for (const [kind, request, status] of kinds(certId)) {
    assert.deepEqual(await post(request), { http: 200, status }, kind);
    const path = `/ocsp/operational/${encodeURIComponent(toBase64(request))}`;
    assert.deepEqual(await get(path), { http: 200, status }, `${kind}, by GET`);
  }
});

test('what is no OCSP is refused as HTTP', async (context) => {
  const { post, get, certId } = await house(context);
  const good = encodeOcspRequest(certId);
  const refused = async (asked: Promise<Asked>): Promise<number> => (await asked).http;
  assert.equal(await refused(post(new Uint8Array(4097))), 413);
  for (const type of ['application/json', 'text/plain', 'application/octet-stream', 'x/y']) {
    assert.equal(await refused(post(good, type)), 415, type);
  }
  for (const path of [
    '/ocsp',
    '/ocsp/',
    '/crl/operational/-1.crl',
    '/crl/operational/1.crl/x',
    '/ca/',
  ]) {
    assert.equal(await refused(get(path)), 404, path);
  }
  assert.equal(await refused(get('/ocsp/operational/%')), 400);
  const long = await get(`/ocsp/operational/${'A'.repeat(9_000)}`);
  assert.deepEqual(long, { http: 200, status: 'malformedRequest' });
});

test('requests, mutated', async (context) => {
  const { post, certId } = await house(context);
  const valid = [...kinds(certId).map(([, request]) => request), ...corpusOf('ocsp-request')];
  const anything = fc.oneof(mutated(valid), fc.uint8Array({ maxLength: 300 }));
  await fc.assert(
    fc.asyncProperty(anything, async (body) => {
      assert.equal((await post(body)).http, body.length > 4096 ? 413 : 200);
    }),
    { numRuns },
  );
});

test('paths of any kind', async (context) => {
  const { get, certId } = await house(context);
  const text = toBase64(encodeOcspRequest(certId));
  const part = fc.oneof(
    fc.constantFrom(
      'ocsp',
      'crl',
      'ca',
      'operational',
      'root',
      '0.crl',
      'root.cer',
      '..',
      '%2e%2e',
      '',
      text,
    ),
    fc.string({ maxLength: 12 }).map(encodeURIComponent),
    fc.webPath(),
    mutated([new TextEncoder().encode(text)]).map((bytes) =>
      encodeURIComponent(Buffer.from(bytes).toString('latin1')),
    ),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(part, { maxLength: 5 }), async (parts) => {
      assert.ok([200, 400, 404, 414].includes((await get(`/${parts.join('/')}`)).http));
    }),
    { numRuns },
  );
});
