/** EST inside sessions: over a radio that loses frames of 51 bytes, and over UDP; with X.509 and with C509. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SessionEnrolmentOutcome } from '../../../src/device/enrolment/sessionEnrolment.ts';
import { blockBytesWithin } from '../../../src/device/enrolment/sessionEnrolment.ts';
import type { SessionExchange } from '../../../src/device/sessions/transfer.ts';
import { transfer } from '../../../src/device/sessions/transfer.ts';
import { decompressPoint } from '../../../src/drivers/keys/software/points.ts';
import { EnvironmentError, refuse } from '../../../src/trust/ports/faults.ts';
import { parseEitherCertificate } from '../../../src/wire/c509/either.ts';
import { methods, responses } from '../../../src/wire/coap/codes.ts';
import type { CoapContent } from '../../../src/wire/coap/message.ts';
import { findUint, optionNumbers, uint, uriPath } from '../../../src/wire/coap/options.ts';
import { decodeCertsOnly } from '../../../src/wire/est/certsOnly.ts';
import type { EdhocExporter } from '../../../src/wire/est/popLinking.ts';
import { experimentalC509Formats } from '../../../src/wire/est/coapResources.ts';
import { parseCertificate } from '../../../src/wire/x509/certificate.ts';
import { prepareCertificationRequest } from '../../../src/wire/x509/certificationRequest.ts';
import { attributeText, encodeName } from '../../../src/wire/x509/names.ts';
import { p256Spki } from '../../../src/wire/x509/spki.ts';
import { coapWorld } from '../../support/coapWorld.ts';
import { Field, type FieldDevice, roughAir } from '../../support/field.ts';
import { testKey, testNowMs, testRequest } from '../../support/pki.ts';
import { SessionEnrolmentWorld } from '../../support/sessionEnrolment.ts';

const nothing = new Uint8Array(0);

/** A sensor on the air, switched on, with its session. */
async function radio(world: SessionEnrolmentWorld, air = roughAir, seed = 3) {
  const field = new Field({ air, seed, serve: world.resource });
  const device = field.addDevice(1, { transmissions: 10 });
  await world.add(device, 1);
  const sensor = await device.switchOn();
  const exchange: SessionExchange = (request) => sensor.exchange(request);
  return { field, device, sensor, exchange };
}

/** Lets time pass until the work is done. */
async function during<Result>(field: Field, work: Promise<Result>): Promise<Result> {
  const state = { isOver: false };
  const end = (): void => void (state.isOver = true);
  work.then(end, end);
  for (let idle = 0; !state.isOver && idle < 1000; idle += 1) {
    if (await field.time.step()) idle = 0;
    else await new Promise((resolve) => setImmediate(resolve));
  }
  return work;
}

function kindOf(outcome: SessionEnrolmentOutcome): string {
  return outcome.kind === 'refused' ? `${outcome.kind} ${outcome.code}` : outcome.kind;
}

async function stored(device: FieldDevice): Promise<ReturnType<typeof parseEitherCertificate>> {
  const [ldevid] = (await device.element.readCertificate('ldevid')) ?? [];
  assert.ok(ldevid);
  return parseEitherCertificate(ldevid, decompressPoint);
}

test('the largest block that fits a frame', () => {
  assert.deepEqual([51, 50, 67, 115, 255, 1280].map(blockBytesWithin), [16, 16, 32, 64, 128, 1024]);
});

for (const form of ['native', 'c509', 'x509'] as const) {
  test(`a whole enrolment over a bad radio, ${form}`, async () => {
    const world = new SessionEnrolmentWorld();
    const { field, device, exchange } = await radio(world);
    const outcome = await during(
      field,
      world.enrol(device, exchange, { form, checksIssuer: true }),
    );
    assert.equal(kindOf(outcome), 'enrolled');
    const { certificate, form: written } = await stored(device);
    assert.equal(written, { native: 'native', c509: 'reencoded', x509: 'der' }[form]);
    assert.equal(attributeText(certificate.subject, 'serialNumber'), device.deviceId);
    assert.deepEqual(certificate.publicKey.spki, p256Spki(device.element.keys.sign.publicKey));
    assert.deepEqual(world.enrolled, [device.deviceId]);
    assert.equal((await world.registry.device(device.deviceId))?.state, 'enrolled');
    // No frame was longer than the radio allows: the air would have thrown.
    assert.ok(field.envelopes.every((envelope) => envelope.length <= 51 + 12));
    // In force: nothing is asked.
    const sent = field.envelopes.length;
    assert.equal(kindOf(await during(field, world.enrol(device, exchange, { form }))), 'in-force');
    assert.equal(field.envelopes.length, sent);
    // Two thirds of its life have passed.
    const late = certificate.notBeforeMs + (certificate.notAfterMs - certificate.notBeforeMs) * 0.7;
    const again = await during(
      field,
      world.enrol(device, exchange, { form }, 'due', { nowMs: () => late }),
    );
    assert.deepEqual(again.kind === 'enrolled' && again.again, true);
    assert.equal(world.requests.length, 2);
  });
}

test('a request that names its session, and one that names another', async () => {
  for (const form of ['native', 'c509', 'x509'] as const) {
    const world = new SessionEnrolmentWorld();
    world.popLinking = 'required';
    const { field, device, exchange, sensor } = await radio(world);
    const clock = { nowMs: () => testNowMs };
    const enrol = (exporter?: () => EdhocExporter | undefined) =>
      during(
        field,
        world.enrol(
          device,
          exchange,
          { form },
          'always',
          clock,
          exporter === undefined ? {} : { exporter },
        ),
      );
    await device.submit('one');
    await field.time.until(() => device.count('telemetry') === 1);
    assert.match(kindOf(await enrol()), /^refused/);
    assert.match(kindOf(await enrol(() => undefined)), /^refused/);
    const elsewhere = () => new Uint8Array(32);
    assert.match(kindOf(await enrol(() => elsewhere)), /^refused/);
    assert.deepEqual(world.refusals, ['pop-linking', 'pop-linking', 'pop-linking']);
    assert.equal(kindOf(await enrol(() => sensor.exporter)), 'enrolled');
  }
});

test('what each form costs on air', async () => {
  const frames: Record<string, number> = {};
  for (const form of ['native', 'c509', 'x509'] as const) {
    const world = new SessionEnrolmentWorld();
    const { field, device, exchange } = await radio(world, {
      ...roughAir,
      drop: 0,
      duplicate: 0,
      reorder: 0,
    });
    await during(field, world.enrol(device, exchange, { form }));
    frames[form] = field.envelopes.length;
  }
  const { native = 0, c509 = 0, x509 = 0 } = frames;
  assert.ok(native <= c509 && c509 < 0.6 * x509, JSON.stringify(frames));
});

test('telemetry goes on while a certificate is on its way', async () => {
  const world = new SessionEnrolmentWorld();
  const { field, device, sensor, exchange } = await radio(world);
  const enrolment = world.enrol(device, exchange);
  for (const text of ['one', 'two']) await device.submit(text);
  await during(field, enrolment);
  assert.deepEqual(field.textsOf(device.deviceId), ['one', 'two']);
  await sensor.stop();
  await assert.rejects(exchange({ code: methods.get, options: [], payload: nothing }), /ended/);
});

test('a session that ends in the middle gives the request back, and another try succeeds', async () => {
  const world = new SessionEnrolmentWorld();
  const { field, device, exchange } = await radio(world);
  await device.submit('one');
  await field.time.until(() => device.count('telemetry') === 1);
  const first = world.enrol(device, exchange);
  for (let steps = 0; steps < 12; steps += 1) await field.time.step();
  field.restartServer();
  await field.relay.kill(device.deviceId);
  const fault = { name: 'DeviceFault', retryable: true };
  await assert.rejects(during(field, first), fault);
  // The sensor may have to find out more than once that its old sessions are gone.
  let outcome: SessionEnrolmentOutcome | undefined;
  for (let tries = 0; outcome === undefined && tries < 4; tries += 1) {
    outcome = await during(field, world.enrol(device, exchange)).catch(() => undefined);
  }
  assert.equal(outcome?.kind, 'enrolled');
});

test('over UDP: the same enrolment in a few datagrams', async (context) => {
  const world = new SessionEnrolmentWorld();
  const coap = await coapWorld(context, { serve: world.resource });
  const device = coap.field.addDevice(1);
  await world.add(device, 1);
  const { session } = await coap.session(device);
  const exchange: SessionExchange = (request) => session.exchange(request);
  for (const form of ['native', 'c509', 'x509'] as const) {
    const options = { form, blockBytes: 1024, checksIssuer: true };
    const outcome = await world.enrol(device, exchange, options, 'always');
    assert.equal(kindOf(outcome), 'enrolled', JSON.stringify(outcome));
  }
  assert.deepEqual(coap.defects, []);
});

/** A session over UDP and plain requests in it. */
async function asking(
  context: Parameters<typeof coapWorld>[0],
  world: SessionEnrolmentWorld,
  state?: 'expected',
) {
  const coap = await coapWorld(context, { serve: world.resource });
  const device = coap.field.addDevice(1);
  await world.add(device, 1, state);
  const { session } = await coap.session(device);
  const ask = (path: string, content: Partial<CoapContent> = {}): Promise<CoapContent> => {
    const { options = [], ...rest } = content;
    const request = {
      code: methods.get,
      payload: nothing,
      ...rest,
      options: [...uriPath(path), ...options],
    };
    return transfer((one) => session.exchange(one), request, {
      blockBytes: 512,
      maximumBodyBytes: 8192,
    });
  };
  return { coap, device, ask };
}

test('cacerts and csrattrs in every format', async (context) => {
  const world = new SessionEnrolmentWorld();
  const { ask } = await asking(context, world);
  const { pki } = world;
  const accept = (format: number) => ({ options: [uint(optionNumbers.accept, format)] });
  for (const root of ['/.well-known/est', '/e', '/.well-known/est/bound']) {
    const response = await ask(`${root}/crts`);
    assert.equal(response.code, responses.content);
    assert.equal(findUint(response.options, optionNumbers.contentFormat), 281);
    const expected = [pki.root.certificate.der, pki.operational.certificate.der];
    assert.deepEqual(decodeCertsOnly(response.payload), expected);
  }
  const one = await ask('/e/crts', accept(287));
  assert.deepEqual(parseCertificate(one.payload).der, pki.operational.certificate.der);
  const { chain, certificate, template } = experimentalC509Formats;
  for (const format of [chain, certificate]) {
    const { code, options, payload } = await ask('/e/crts', accept(format));
    assert.equal(code, responses.content);
    assert.equal(findUint(options, optionNumbers.contentFormat), format);
    assert.ok(payload.length < (format === chain ? 700 : 350), `${payload.length}`);
  }
  assert.equal((await ask('/e/crts', accept(50))).code, responses.notAcceptable);
  const attributes = await ask('/e/att');
  assert.equal(findUint(attributes.options, optionNumbers.contentFormat), 285);
  assert.equal(attributes.payload[0], 0x30);
  const wanted = await ask('/e/att', accept(template));
  assert.equal(wanted.payload[0], 0x87);
  assert.equal((await ask('/e/att', accept(50))).code, responses.notAcceptable);
});

test('refusals, each with its code', async (context) => {
  const world = new SessionEnrolmentWorld();
  const { ask, device } = await asking(context, world);
  const post = async (
    payload: Uint8Array,
    path = '/e/sen',
    format = 286,
    ...more: CoapContent['options']
  ) => {
    const options = [uint(optionNumbers.contentFormat, format), ...more];
    return (await ask(path, { code: methods.post, payload, options })).code;
  };
  const { sign } = device.element.keys;
  const own = async (fields: Parameters<typeof testRequest>[1] = {}): Promise<Uint8Array> => {
    const subject = fields.subject ?? encodeName();
    const request = prepareCertificationRequest({
      subject,
      spki: p256Spki(sign.publicKey),
      ...fields,
    });
    return request.finish(
      'ecdsa-with-SHA256',
      await device.element.sign('sign', request.toBeSigned),
    );
  };
  const good = await own();
  const codeOf = async (path: string, content: Partial<CoapContent> = {}): Promise<number> =>
    (await ask(path, content)).code;
  assert.equal(await codeOf('/e/none'), responses.notFound);
  assert.equal(await codeOf('/.well-known/est/other/crts'), responses.notFound);
  assert.equal(await codeOf('/e/skg', { code: methods.post }), responses.notImplemented);
  assert.equal(await codeOf('/e/sen'), responses.methodNotAllowed);
  assert.equal(await codeOf('/e/crts', { code: methods.post }), responses.methodNotAllowed);
  assert.equal(await post(good, '/e/sen', 50), responses.unsupportedContentFormat);
  assert.equal(
    await post(good, '/e/sen', 286, uint(optionNumbers.accept, 50)),
    responses.notAcceptable,
  );
  assert.equal(await post(good.subarray(0, 40)), responses.badRequest);
  assert.equal(
    await post(Uint8Array.of(0x87, 2), '/e/sen', experimentalC509Formats.request),
    responses.badRequest,
  );
  const altered = good.slice();
  altered[altered.length - 1] = (altered.at(-1) ?? 0) ^ 1;
  assert.equal(await post(altered), responses.badRequest);
  // Somebody else's key, with a proof that holds.
  assert.equal(await post(testRequest(testKey())), responses.forbidden);
  assert.equal(await post(await own({ challengePassword: 'x' })), responses.badRequest);
  assert.equal(await post(good, '/.well-known/est/bound/sen'), responses.badRequest);
  const stranger = encodeName(['serialNumber', 'another']);
  assert.equal(await post(await own({ subject: stranger }), '/e/sren'), responses.badRequest);
  assert.equal(world.requests.length, 0);
  world.answer = async () => refuse('key-taken', 'no');
  assert.equal(await post(good), responses.conflict);
  world.answer = async () => ({ retryAfterS: 7 });
  const later = await ask('/e/sen', {
    code: methods.post,
    payload: good,
    options: [uint(optionNumbers.contentFormat, 286)],
  });
  assert.equal(later.code, responses.serviceUnavailable);
  assert.equal(findUint(later.options, optionNumbers.maxAge), 7);
  world.answer = async () => {
    throw new EnvironmentError('the authority is away', { retryable: true });
  };
  assert.equal(await post(good), responses.serviceUnavailable);
  world.answer = undefined;
  assert.equal(await post(good), responses.changed);
  await world.registry.device(device.deviceId);
  await world.store.revokeDevices([device.deviceId], 'lost', testNowMs);
  assert.equal(await post(good), responses.forbidden);
  assert.deepEqual(
    new Set(world.refusals),
    new Set([
      'no-such-path',
      'not-offered',
      'wrong-method',
      'wrong-type',
      'not-acceptable',
      'malformed',
      'bad-proof',
      'wrong-identity',
      'pop-linking',
      'subject-mismatch',
      'key-taken',
      'revoked',
    ]),
  );
});

test('a device takes no certificate that is not its own', async (context) => {
  const world = new SessionEnrolmentWorld();
  const coap = await coapWorld(context, { serve: world.resource });
  const device = coap.field.addDevice(1);
  await world.add(device, 1);
  const { session } = await coap.session(device);
  const exchange: SessionExchange = (request) => session.exchange(request);
  const certify = (deviceId: string) => async (request: Parameters<typeof world.certify>[0]) => ({
    certificate: world.certify({ ...request, deviceId }),
    beside: [],
  });
  world.answer = certify('anotherdevice000');
  assert.deepEqual(await world.enrol(device, exchange), {
    kind: 'unacceptable',
    fault: 'another-device',
  });
  world.answer = undefined;
  world.changes = { notAfterMs: testNowMs - 1 };
  assert.deepEqual(await world.enrol(device, exchange), {
    kind: 'unacceptable',
    fault: 'not-in-force',
  });
  world.changes = {};
  assert.equal(await device.element.readCertificate('ldevid'), undefined);
  // Without a clock nothing is judged by dates, and nothing is due.
  const unset = { nowMs: () => undefined };
  assert.equal(kindOf(await world.enrol(device, exchange, {}, 'due', unset)), 'enrolled');
  assert.deepEqual(await world.enrol(device, exchange, {}, 'due', unset), {
    kind: 'in-force',
    dueMs: undefined,
  });
  // The issuer is not among the authorities any more.
  world.authorities = [world.pki.root.certificate.der];
  const checked = await world.enrol(device, exchange, { checksIssuer: true }, 'always');
  assert.deepEqual(checked, { kind: 'unacceptable', fault: 'no-chain' });
});
