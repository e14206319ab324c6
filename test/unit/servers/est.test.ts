import assert from 'node:assert/strict';
import { test } from 'node:test';
import fastify, {
  type FastifyInstance,
  type InjectOptions,
  type LightMyRequestResponse,
} from 'fastify';
import { estRoutes, type EstService } from '../../../src/servers/http/est.ts';
import { installProblems } from '../../../src/servers/http/problem.ts';
import type { VerifiedPeer } from '../../../src/trust/peers/verifiedPeer.ts';
import { EnvironmentError, refuse } from '../../../src/trust/ports/faults.ts';
import { utf8 } from '../../../src/wire/bytes/utf8.ts';
import { decodeBody, encodeBody } from '../../../src/wire/est/body.ts';
import { decodeCertsOnly } from '../../../src/wire/est/certsOnly.ts';
import { linkingPassword } from '../../../src/wire/est/popLinking.ts';
import { parseCertificate } from '../../../src/wire/x509/certificate.ts';
import { encodePem } from '../../../src/wire/x509/pem.ts';
import { type BornDevice, testEnrolment, type TestEnrolment } from '../../support/enrolment.ts';
import { testRequest } from '../../support/pki.ts';
import { sha256Of } from '../../support/registrySamples.ts';

const binding = sha256Of('this connection');

interface House extends TestEnrolment {
  readonly app: FastifyInstance;
  readonly refusals: string[];
  readonly enrolled: string[];
  device: BornDevice;
  present: VerifiedPeer | undefined;
  enroll(changes?: Partial<InjectOptions>, label?: string): Promise<LightMyRequestResponse>;
}

async function open(changes: Partial<EstService> = {}): Promise<House> {
  const base = testEnrolment();
  const service: EstService = { ...base.policy, framing: 'line', ...changes };
  const device = await base.born(1);
  const app = fastify({ logger: false });
  const house: House = {
    ...base,
    app,
    device,
    refusals: [],
    enrolled: [],
    present: await base.peer(device.idevid),
    enroll: (options, label) =>
      app.inject({
        method: 'POST',
        url: `/.well-known/est/${label === undefined ? '' : `${label}/`}simpleenroll`,
        headers: { 'content-type': 'application/pkcs10' },
        payload: Buffer.from(encodeBody(testRequest(house.device.idevid.key))),
        ...options,
      }),
  };
  installProblems(app, (code) => house.refusals.push(code));
  estRoutes(app, {
    enrolment: base.enrolment,
    services: new Map([
      ['', service],
      ['strict', { ...service, popLinking: 'required', framing: 'wrap64' }],
    ]),
    peerOf: () => house.present,
    channelBindingOf: () => binding,
    onRefusal: (code) => house.refusals.push(code),
    onEnrolled: (deviceId) => house.enrolled.push(deviceId),
  });
  await app.ready();
  return house;
}

const bodyOf = (response: LightMyRequestResponse): Uint8Array =>
  decodeBody(new Uint8Array(response.rawPayload));

test('RFC 7030 §4.1: CA certificates, with and without label, without a certificate of one’s own', async () => {
  const house = await open();
  house.present = undefined;
  const { root, operational } = house.pki;
  for (const label of ['', 'strict/']) {
    const response = await house.app.inject(`/.well-known/est/${label}cacerts`);
    assert.equal(response.statusCode, 200);
    assert.equal(response.headers['content-type'], 'application/pkcs7-mime; smime-type=certs-only');
    assert.deepEqual(decodeCertsOnly(bodyOf(response)), [
      root.certificate.der,
      operational.certificate.der,
    ]);
    const lines = response.payload.split('\n').length;
    if (label === '') assert.equal(lines, 2);
    else assert.ok(lines > 10);
  }
});

test('RFC 7030 §4.2.1: an enrolment answers with the issued certificate alone', async () => {
  const house = await open();
  const response = await house.enroll();
  assert.equal(response.statusCode, 200);
  assert.equal(response.headers['content-type'], 'application/pkcs7-mime; smime-type=certs-only');
  const [certificate, ...more] = decodeCertsOnly(bodyOf(response));
  assert.equal(more.length, 0);
  assert.deepEqual(
    parseCertificate(certificate ?? new Uint8Array()).publicKey.spki,
    house.device.idevid.key.spki,
  );
  assert.deepEqual(house.enrolled, [house.device.deviceId]);
});

test('bodies as clients in the field send them', async () => {
  const house = await open();
  const request = testRequest(house.device.idevid.key);
  for (const payload of [
    encodeBody(request, 'wrap64'),
    utf8(encodePem('CERTIFICATE REQUEST', request)),
    request,
  ]) {
    const headers = {
      'content-type': 'application/pkcs10; charset=us-ascii',
      'content-transfer-encoding': 'quoted-printable',
    };
    const response = await house.enroll({ payload: Buffer.from(payload), headers });
    assert.equal(response.statusCode, 200);
  }
});

test('what is asked wrongly: path, method, type, size, no base64, no request', async () => {
  const house = await open();
  const statusOf = async (options: InjectOptions): Promise<number> => {
    const response = await house.app.inject(options);
    if (response.statusCode !== 404 && response.statusCode !== 200) {
      assert.match(response.headers['content-type']?.toString() ?? '', /^text\/plain/);
    }
    assert.doesNotMatch(response.payload, /\bat \w+.*:\d+|node:|src\//);
    return response.statusCode;
  };
  const est = '/.well-known/est';
  for (const url of [
    `${est}/nothing`,
    `${est}/unknown/cacerts`,
    `${est}/a/b/cacerts`,
    `${est}/`,
    est,
  ]) {
    assert.equal(await statusOf({ url }), 404, url);
  }
  assert.equal(await statusOf({ method: 'POST', url: `${est}/cacerts` }), 405);
  assert.equal(await statusOf({ method: 'GET', url: `${est}/simpleenroll` }), 405);
  assert.equal(await statusOf({ method: 'POST', url: `${est}/serverkeygen` }), 501);
  assert.equal(await statusOf({ method: 'POST', url: `${est}/fullcmc` }), 501);
  assert.equal(await statusOf({ method: 'GET', url: `${est}/csrattrs?x=1` }), 200);
  const enroll = (changes: Partial<InjectOptions>): Promise<number> =>
    house.enroll(changes).then(({ statusCode }) => statusCode);
  const type = (value: string): Partial<InjectOptions> => ({ headers: { 'content-type': value } });
  assert.equal(await enroll(type('application/json')), 415);
  assert.equal(await enroll(type('application/pkcs10x')), 415);
  assert.equal(await enroll({ headers: {} }), 415);
  assert.equal(await enroll({ payload: Buffer.alloc(70_000, 65) }), 413);
  assert.equal(await enroll({ payload: '?' }), 400);
  assert.equal(await enroll({ payload: '' }), 400);
  assert.equal(await enroll({ payload: 'MAA=' }), 400);
  assert.deepEqual(house.enrolled, []);
  assert.deepEqual(
    new Set(house.refusals),
    new Set([
      'no-such-path',
      'unknown-route',
      'wrong-method',
      'not-offered',
      'wrong-type',
      'bad-request',
      'malformed',
    ]),
  );
});

test('who is refused, and with which status', async () => {
  const house = await open();
  const post = (operation: string): Promise<LightMyRequestResponse> =>
    house.enroll({ url: `/.well-known/est/${operation}` });
  assert.equal((await post('simplereenroll')).statusCode, 403);
  assert.equal((await house.enroll({}, 'strict')).statusCode, 400);
  const linked = testRequest(house.device.idevid.key, {
    challengePassword: linkingPassword(binding),
  });
  const payload = Buffer.from(encodeBody(linked));
  assert.equal((await house.enroll({ payload }, 'strict')).statusCode, 200);
  house.present = undefined;
  const nobody = await house.enroll();
  assert.equal(nobody.statusCode, 401);
  assert.match(String(nobody.headers['www-authenticate']), /^Basic realm=.*, Bearer$/);
  house.device = await house.born(2, 'expected');
  house.present = await house.peer(house.device.idevid);
  const early = await house.enroll();
  assert.equal(early.statusCode, 403);
  assert.match(early.payload, /not released/);
  house.device = await house.born(3);
  house.present = await house.peer(house.device.idevid);
  house.authority.answer = () => Promise.resolve(refuse('key-taken', 'taken'));
  assert.equal((await house.enroll()).statusCode, 409);
  house.authority.answer = () => Promise.resolve(refuse('rejected', 'lint'));
  assert.equal((await house.enroll()).statusCode, 400);
  assert.deepEqual(house.refusals, [
    'wrong-identity',
    'pop-linking',
    'no-credentials',
    'not-released',
    'key-taken',
    'rejected',
  ]);
});

test('later, and troubles of our own: Retry-After, and not a word about the inside', async () => {
  const house = await open();
  house.authority.answer = () => Promise.resolve({ retryAfterS: 90 });
  const later = await house.enroll();
  assert.deepEqual([later.statusCode, later.headers['retry-after']], [202, '90']);
  house.authority.answer = () =>
    Promise.reject(new EnvironmentError('/var/run/authority.sock is gone', { retryable: true }));
  const gone = await house.enroll();
  assert.deepEqual([gone.statusCode, gone.headers['retry-after']], [503, '5']);
  house.authority.answer = () => Promise.reject(new Error('secret inside'));
  const broken = await house.enroll();
  assert.equal(broken.statusCode, 500);
  for (const { payload } of [gone, broken]) assert.doesNotMatch(payload, /sock|secret|Error/);
});

test('RFC 7030 §3.2.2: there has to be a service without a label', () => {
  const { enrolment } = testEnrolment();
  const ignore = (): undefined => undefined;
  const options = {
    enrolment,
    peerOf: ignore,
    channelBindingOf: ignore,
    onRefusal: ignore,
    onEnrolled: ignore,
  };
  assert.throws(() => estRoutes(fastify(), { ...options, services: new Map() }), TypeError);
});
