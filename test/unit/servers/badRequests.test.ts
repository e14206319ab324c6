/** Bad certification requests, at the door of EST and at the issuing port: a typed no, and nothing is left behind. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import fastify, { type FastifyInstance } from 'fastify';
import { estRoutes } from '../../../src/servers/http/est.ts';
import { installProblems } from '../../../src/servers/http/problem.ts';
import { isRefusal, refuse } from '../../../src/trust/ports/faults.ts';
import { decodeBody, encodeBody, maximumBodyBytes } from '../../../src/wire/est/body.ts';
import { decodeCertsOnly } from '../../../src/wire/est/certsOnly.ts';
import { utf8 } from '../../../src/wire/bytes/utf8.ts';
import { parseCertificate } from '../../../src/wire/x509/certificate.ts';
import { encodePem } from '../../../src/wire/x509/pem.ts';
import { printName } from '../../../src/wire/x509/names.ts';
import { badRequests, greedyRequests, requestKey } from '../../support/badRequests.ts';
import { testEnrolment, type TestEnrolment } from '../../support/enrolment.ts';
import { World } from '../../support/issuing/world.ts';
import { deviceIdOf, sha256Of } from '../../support/registrySamples.ts';

interface Door extends TestEnrolment {
  readonly deviceId: string;
  readonly refusals: string[];
  post(payload: Uint8Array, type?: string): Promise<{ status: number; body: Uint8Array }>;
  /** What would have changed. */
  state(): Promise<unknown>;
}

async function estDoor(context: TestContext): Promise<Door> {
  const house = testEnrolment();
  const { deviceId, idevid } = await house.born(1);
  const peer = await house.peer(idevid);
  const app: FastifyInstance = fastify({ logger: false });
  context.after(() => app.close());
  const refusals: string[] = [];
  installProblems(app, (code) => refusals.push(code));
  estRoutes(app, {
    enrolment: house.enrolment,
    services: new Map([['', { ...house.policy, framing: 'line' }]]),
    peerOf: () => peer,
    channelBindingOf: () => sha256Of('this connection'),
    onRefusal: (code) => refusals.push(code),
    onEnrolled: () => undefined,
  });
  await app.ready();
  // Which keys are certified is the authority's to say.
  const { certification } = (await World.create(context)).open();
  house.authority.answer = async (asked) => {
    const named = { profile: 'application', name: 'any', hosts: [] } as const;
    const outcome = await certification.certify({ ...named, request: asked.request });
    return isRefusal(outcome)
      ? refuse('rejected', outcome.reason)
      : { certificate: house.authority.certify(asked), beside: [] };
  };
  return {
    ...house,
    deviceId,
    refusals,
    post: async (payload, type = 'application/pkcs10') => {
      const response = await app.inject({
        method: 'POST',
        url: '/.well-known/est/simpleenroll',
        headers: { 'content-type': type },
        payload: Buffer.from(payload),
      });
      // RFC 7030 §4.2.3: an error is told in plain text, and nothing of our insides.
      if (response.statusCode !== 200) {
        assert.match(String(response.headers['content-type']), /^text\/plain/);
        assert.doesNotMatch(response.payload, /\bat \w+.*:\d+|node:|src\//);
      }
      return { status: response.statusCode, body: new Uint8Array(response.rawPayload) };
    },
    state: () => house.registry.device(deviceId),
  };
}

test('EST refuses every bad request with a code of its own, and leaves nothing behind', async (context) => {
  const door = await estDoor(context);
  const before = await door.state();
  for (const { name, der } of badRequests()) {
    door.refusals.length = 0;
    for (const payload of [der, encodeBody(der), utf8(encodePem('CERTIFICATE REQUEST', der))]) {
      const { status } = await door.post(payload);
      // Longer than any body is: 413 before anything is read.
      assert.ok(
        status === 400 || (status === 413 && payload.length > maximumBodyBytes),
        `${name}: ${status}`,
      );
    }
    assert.equal(door.refusals.length, 3, name);
    assert.ok(
      door.refusals.every((code) =>
        /^(malformed|unsupported|bad-proof|bad-request|rejected)/.test(code),
      ),
      `${name}: ${door.refusals.join()}`,
    );
  }
  assert.deepEqual(await door.state(), before);
});

test('EST refuses every body that holds no request', async (context) => {
  const door = await estDoor(context);
  const before = await door.state();
  const key = requestKey();
  const good = greedyRequests(key, deviceIdOf(2))[0]?.der ?? new Uint8Array(0);
  const armoured = encodePem('CERTIFICATE REQUEST', good);
  for (const [name, payload, type] of [
    ['nothing', new Uint8Array(0)],
    ['white space', utf8('\r\n \t')],
    ['no base64', utf8('§§§')],
    ['base64 of half a group', utf8('MIIB=')],
    ['padding in the middle', utf8('MI==MIIB')],
    ['the alphabet of URLs', utf8('MII-_w==')],
    ['armour without an end', utf8(armoured.slice(0, 60))],
    ['two blocks', utf8(armoured + armoured)],
    ['a key', utf8(String(key.privateKey.export({ format: 'pem', type: 'pkcs8' })))],
    ['an object', utf8('{}')],
    ['a body in CMS', encodeBody(door.pki.root.certificate.der)],
    ['base64 of base64', encodeBody(encodeBody(good))],
    ['octets with the top bit', Uint8Array.of(0x80, 0xff, 0xfe)],
    ['NULs', new Uint8Array(100)],
    ['64 KiB and one', new Uint8Array(maximumBodyBytes + 1).fill(0x41)],
    ['another type', encodeBody(good), 'application/octet-stream'],
    ['no type', encodeBody(good), ''],
  ] as ReadonlyArray<readonly [string, Uint8Array, string?]>) {
    const { status } = await door.post(payload, type);
    assert.ok(status >= 400 && status < 500, `${name}: ${status}`);
  }
  assert.deepEqual(await door.state(), before);
});

test('EST gives who asks for more the certificate of its own name, and nothing else', async (context) => {
  const door = await estDoor(context);
  const key = requestKey();
  for (const { name, der } of greedyRequests(key, deviceIdOf(2))) {
    const { status, body } = await door.post(encodeBody(der));
    assert.equal(status, 200, name);
    const [certificate] = decodeCertsOnly(decodeBody(body));
    const { subject } = parseCertificate(certificate ?? new Uint8Array(0));
    assert.equal(printName(subject), `serialNumber=${door.deviceId},O=Test Owner`, name);
  }
  assert.ok(door.authority.requests.every(({ deviceId }) => deviceId === door.deviceId));
});

test('the issuing port refuses every bad request and stores nothing', async (context) => {
  const world = await World.create(context);
  const { certification, issuanceStore, auditStore } = world.open();
  const state = async () => [
    await issuanceStore.countCertificates(),
    await issuanceStore.unfinished(0, 10),
    await auditStore.countLeaves(),
  ];
  const before = await state();
  for (const { name, der } of badRequests()) {
    const outcome = await certification.certify({
      profile: 'application',
      name: 'app',
      request: der,
      hosts: [],
    });
    assert.ok(isRefusal(outcome), name);
    assert.ok(
      ['malformed-request', 'bad-proof'].includes(outcome.refused),
      `${name}: ${outcome.refused}`,
    );
  }
  assert.deepEqual(await state(), before);
});

test('the issuing port takes nothing but the key from a request', async (context) => {
  const world = await World.create(context);
  const { certification } = world.open();
  const key = requestKey();
  for (const { name, der } of greedyRequests(key, deviceIdOf(2))) {
    const outcome = await certification.certify({
      profile: 'application',
      name: 'app',
      request: der,
      hosts: [],
    });
    assert.ok(!isRefusal(outcome), name);
    const { subject, extensions } = parseCertificate(outcome);
    assert.equal(printName(subject), 'CN=app,O=Test', name);
    assert.deepEqual(
      extensions.map(({ oid }) => oid).toSorted(),
      ['2.5.29.14', '2.5.29.15', '2.5.29.35', '2.5.29.37'],
      name,
    );
  }
});

test('names that nobody may have are refused at the issuing port, and nothing is stored', async (context) => {
  const world = await World.create(context);
  const { certification, issuanceStore, auditStore } = world.open();
  const before = [await issuanceStore.countCertificates(), await auditStore.countLeaves()];
  const [first] = greedyRequests(requestKey(), deviceIdOf(2));
  const request = first?.der ?? new Uint8Array(0);
  for (const name of ['', 'a\0b', 'a\nb', 'x'.repeat(65), 'x'.repeat(65_536), deviceIdOf(2)]) {
    const outcome = await certification.certify({
      profile: 'application',
      name,
      request,
      hosts: [],
    });
    const refused = isRefusal(outcome) ? outcome.refused : 'issued';
    assert.ok(['lint', 'rejected'].includes(refused), `${name.slice(0, 20)}: ${refused}`);
  }
  for (const host of [
    '',
    '*.example',
    'a b',
    'a\0.example',
    'x'.repeat(254),
    '-a.example',
    '1.2.3.4.5/8',
  ]) {
    const outcome = await certification.certify({
      profile: 'server',
      name: 'door',
      request,
      hosts: [host],
    });
    assert.equal(isRefusal(outcome) && outcome.refused, 'lint', host.slice(0, 20));
  }
  assert.deepEqual(
    [await issuanceStore.countCertificates(), await auditStore.countLeaves()],
    before,
  );
});
