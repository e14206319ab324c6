import type { OrderRequest, TicketRequest } from '../../../src/trust/ports/operatorAuthority.ts';
import { alone } from '../../support/alone.ts';
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test, type TestContext } from 'node:test';
import { nodeCrypto } from '../../../src/drivers/keys/software/nodeCrypto.ts';
import { closeBatch } from '../../../src/trust/personalization/closing.ts';
import { isRefusal } from '../../../src/trust/ports/faults.ts';
import type { TicketRecord } from '../../../src/trust/ports/orderStore.ts';
import { parseBase64url } from '../../../src/wire/bytes/base64.ts';
import { eui64Plus } from '../../../src/wire/bytes/eui64.ts';
import { toHex } from '../../../src/wire/bytes/hex.ts';
import { fixedSignature } from '../../../src/wire/der/ecdsa.ts';
import {
  type EndorsedUnit,
  isEndorsed,
  type UnitAnswer,
} from '../../../src/wire/line/endorsement.ts';
import { messageTypeOf } from '../../../src/wire/line/fields.ts';
import { readRefusal } from '../../../src/wire/line/reporting.ts';
import { prepareSigned } from '../../../src/wire/line/signed.ts';
import { encodeTicket, readTicket } from '../../../src/wire/line/ticket.ts';
import { parseSigned } from '../../../src/wire/line/signed.ts';
import { parseCertificate } from '../../../src/wire/x509/certificate.ts';
import { attributeText } from '../../../src/wire/x509/names.ts';
import { p256Point } from '../../../src/wire/x509/spki.ts';
import {
  requestOf,
  signed,
  testElement,
  TestStation,
  unitRequest,
} from '../../support/issuing/station.ts';
import { type OpenAuthority, testSigner, World } from '../../support/issuing/world.ts';

interface Scene {
  readonly world: World;
  readonly authority: OpenAuthority;
  readonly ticket: TicketRecord;
  readonly station: TestStation;
}

async function scene(context: TestContext, count = 10): Promise<Scene> {
  const world = await World.create(context);
  const authority = world.open();
  const signer = testSigner();
  const ticket = await world.ticket(authority, signer, count);
  const station = new TestStation(authority.line, world.keys.order, ticket.signed, signer);
  return { world, authority, ticket, station };
}

function codeOf(answer: UnitAnswer | undefined): string {
  if (answer === undefined) return 'no answer';
  return isEndorsed(answer) ? 'endorsed' : answer.code;
}

function endorsed(answer: UnitAnswer | undefined): EndorsedUnit {
  assert.ok(answer !== undefined && isEndorsed(answer), codeOf(answer));
  return answer;
}

function refusalOf(payload: Uint8Array): string {
  assert.equal(messageTypeOf(payload), 'refusal');
  return readRefusal(payload).code;
}

test('birth: open, endorse, report, close, manifest, and a checker that agrees', async (context) => {
  const { world, authority, station, ticket } = await scene(context, 5);
  const opening = await station.open();
  assert.deepEqual(opening.anchors, [world.certificateOf('server')]);
  assert.deepEqual(opening.serverIdentity, Uint8Array.of(0xa1, 1, 2));
  const elements = ['a', 'b', 'c', 'd'].map(testElement);
  const units = await Promise.all(elements.map((element) => unitRequest(element, opening)));
  const answers = (await station.endorse(units)).map(endorsed);
  for (const [index, answer] of answers.entries()) {
    const certificate = parseCertificate(answer.certificate);
    assert.deepEqual(certificate.publicKey.spki, elements[index]?.sign.publicKeySpki);
    assert.equal(attributeText(certificate.subject, 'serialNumber'), answer.deviceId);
    assert.deepEqual(
      answer.eui64,
      eui64Plus(opening.eui64Range?.first ?? new Uint8Array(0), index),
    );
  }
  const [a, b, c, d] = elements;
  assert.ok(a && b && c && d);
  assert.deepEqual(
    await station.report([
      [a, 'verified'],
      [a, 'locked'],
      [b, 'locked'],
      [c, 'scrapped'],
      [d, 'returned'],
    ]),
    [undefined, undefined, undefined, undefined, undefined],
  );
  const counts = { issued: 4, released: 2, scrapped: 1, returned: 1 };
  assert.equal(await station.close({ ...counts, released: 3 }), 'counts-differ');
  assert.deepEqual(await station.close(counts), { counts, void: 1 });
  assert.deepEqual(await station.close(counts), { counts, void: 1 }, 'closing twice is once');

  const closed = await closeBatch(
    authority.closing,
    await alone('batch.close', { batch: 'order-1' }),
  );
  assert.ok(!isRefusal(closed));
  assert.deepEqual(closed.counts, counts);
  assert.equal(closed.void, 1);
  const manifest = JSON.parse(
    readFileSync(authority.documents.pathOf(closed.manifest), 'utf8'),
  ) as {
    header: { uniqueId: string };
  }[];
  assert.deepEqual(
    manifest.map(({ header }) => header.uniqueId),
    [toHex(a.uid), toHex(b.uid)],
  );
  assert.deepEqual(yieldReport(authority, closed.yieldReport), {
    order: 'order-1',
    product: 'sensor',
    batch: 'order-1',
    closed: '2026-06-01T12:00:00.000Z',
    ordered: 5,
    ...counts,
    void: 1,
    reasons: { scrapped: { 'it is scrapped': 1 }, returned: { 'it is returned': 1 } },
    manifestSha256: toHex(
      nodeCrypto.hash('SHA-256', readFileSync(authority.documents.pathOf(closed.manifest))),
    ),
  });
  assert.deepEqual(await authority.orderStore.closedBatches(0, 10), [
    { sequence: 1, batch: 'order-1' },
  ]);
  assert.equal(
    (await closeBatch(authority.closing, await alone('batch.close', { batch: 'order-1' }))) !==
      undefined,
    true,
  );
  await world.logHead(authority);
  const report = await world.fsck();
  assert.deepEqual(report.faults, []);
  assert.equal(report.units, 4);
  assert.equal(report.revoked, 1);
  assert.equal((await authority.orderStore.ticket(ticket.ticketId))?.taken, 4);
});

function yieldReport(authority: OpenAuthority, name: string): unknown {
  const jws = JSON.parse(readFileSync(authority.documents.pathOf(name), 'utf8')) as {
    payload: string;
  };
  const payload = parseBase64url(jws.payload);
  assert.ok(payload);
  return JSON.parse(Buffer.from(payload).toString('utf8'));
}

test('a retry gives the same identity and costs nothing', async (context) => {
  const { authority, station, ticket } = await scene(context, 1);
  const opening = await station.open();
  const unit = await unitRequest(testElement('a'), opening);
  const [first] = await station.endorse([unit]);
  const [second] = await station.endorse([unit]);
  assert.deepEqual(second, first);
  // A new request by the same key is the same retry; another key under that uid is not.
  assert.equal((await authority.orderStore.ticket(ticket.ticketId))?.taken, 1);
  const other = await unitRequest(testElement('a'), opening);
  assert.deepEqual((await station.endorse([other])).map(codeOf), ['uid-taken']);
  const noAgree = { ...unit, agree: undefined };
  assert.deepEqual((await station.endorse([noAgree])).map(codeOf), ['uid-taken']);
});

test('two requests at once for one element give one identity', async (context) => {
  const { authority, station, ticket } = await scene(context, 5);
  const unit = await unitRequest(testElement('a'), await station.open());
  const answers = await Promise.all([1, 2, 3, 4].map(() => station.endorse([unit])));
  const [first] = answers;
  endorsed(first?.[0]);
  for (const answer of answers) assert.deepEqual(answer, first);
  assert.equal((await authority.orderStore.ticket(ticket.ticketId))?.taken, 1);
});

test('the quota ends where it ends, whatever was scrapped', async (context) => {
  const { world, station } = await scene(context, 3);
  const opening = await station.open();
  const elements = ['a', 'b', 'c', 'd', 'e'].map(testElement);
  const units = await Promise.all(elements.map((element) => unitRequest(element, opening)));
  assert.deepEqual((await station.endorse(units)).map(codeOf), [
    'endorsed',
    'endorsed',
    'endorsed',
    'quota-exhausted',
    'quota-exhausted',
  ]);
  const [a, , , d] = elements;
  assert.ok(a && d);
  assert.deepEqual(await station.report([[a, 'scrapped']]), [undefined]);
  assert.deepEqual((await station.endorse([await unitRequest(d, opening)])).map(codeOf), [
    'quota-exhausted',
  ]);
  assert.deepEqual((await station.endorse([await unitRequest(a, opening)])).map(codeOf), [
    'scrapped',
  ]);
  assert.deepEqual((await world.fsck()).faults, []);
});

test('keys that are not proven get nothing', async (context) => {
  const { station } = await scene(context);
  const opening = await station.open();
  const stolen = testSigner();
  const good = async () => unitRequest(testElement('x'), opening);
  const unit = await good();
  assert.ok(unit.agree);
  const flipped = unit.agree.proof.slice();
  flipped[0] = (flipped[0] ?? 0) ^ 1;
  const anotherElement = await good();
  for (const [wrong, code] of [
    [{ ...unit, csr: await requestOf(testSigner(), stolen.publicKeySpki) }, 'bad-proof'],
    [{ ...unit, csr: unit.csr.subarray(0, 50) }, 'bad-csr'],
    [{ ...unit, agree: { ...unit.agree, proof: flipped } }, 'bad-agree-proof'],
    [{ ...unit, agree: anotherElement.agree }, 'bad-agree-proof'],
    [{ ...unit, csr: anotherElement.csr }, 'bad-agree-proof'],
    [{ ...unit, proofLevel: 'possession' as const }, 'proof-too-weak'],
    [
      { ...unit, proofLevel: 'vendor-anchored' as const, evidence: Uint8Array.of(1) },
      'evidence-not-verified',
    ],
  ] as const) {
    assert.deepEqual((await station.endorse([wrong])).map(codeOf), [code]);
  }
  const offCurve = new Uint8Array(65).fill(1);
  offCurve[0] = 4;
  const bad = { ...unit, agree: { ...unit.agree, publicKey: offCurve } };
  assert.deepEqual((await station.endorse([bad])).map(codeOf), ['bad-agree-proof']);
  // Nothing of all this took anything.
  endorsed((await station.endorse([unit]))[0]);
});

test('the sign key and the agree key of an element are two keys', async (context) => {
  const { station } = await scene(context);
  const opening = await station.open();
  const element = testElement('a');
  const unit = await unitRequest(element, opening);
  assert.ok(unit.agree);
  const publicKey = p256Point(element.sign.publicKeySpki);
  const same = { ...unit, agree: { ...unit.agree, publicKey } };
  assert.deepEqual((await station.endorse([same])).map(codeOf), ['one-key-twice']);
});

test('a key lives in one slot of one element, over all orders', async (context) => {
  const { world, authority, station } = await scene(context);
  const opening = await station.open();
  const first = testElement('a');
  endorsed((await station.endorse([await unitRequest(first, opening)]))[0]);
  // The same sign key in another chip, also under another order and another station.
  const clone = { ...testElement('b'), sign: first.sign };
  assert.deepEqual((await station.endorse([await unitRequest(clone, opening)])).map(codeOf), [
    'key-taken',
  ]);
  const otherSigner = testSigner();
  const otherTicket = await world.ticket(authority, otherSigner, 10, 'order-2');
  const other = new TestStation(authority.line, world.keys.order, otherTicket.signed, otherSigner);
  const otherOpening = await other.open();
  assert.deepEqual((await other.endorse([await unitRequest(clone, otherOpening)])).map(codeOf), [
    'key-taken',
  ]);
  const sameAgree = { ...testElement('c'), agree: first.agree };
  assert.deepEqual(
    (await other.endorse([await unitRequest(sameAgree, otherOpening)])).map(codeOf),
    ['key-taken'],
  );
  // And the same element under another ticket.
  assert.deepEqual((await other.endorse([await unitRequest(first, otherOpening)])).map(codeOf), [
    'uid-taken',
  ]);
  assert.deepEqual((await world.fsck()).faults, []);
});

test('two elements of one batch that share a key: the first has it', async (context) => {
  const { world, station } = await scene(context);
  const opening = await station.open();
  const first = testElement('a');
  const clone = { ...testElement('b'), sign: first.sign };
  const units = await Promise.all([first, clone].map((one) => unitRequest(one, opening)));
  assert.deepEqual((await station.endorse(units)).map(codeOf), ['endorsed', 'key-taken']);
  assert.deepEqual((await world.fsck()).faults, []);
});

test('a request counts by its ticket and its station, not by who brings it', async (context) => {
  const { world, authority, station, ticket } = await scene(context);
  const request = station.openRequest();
  assert.equal(refusalOf(await station.ask('open', request, testSigner())), 'forged-request');
  const forger = testSigner();
  const forgedTicket = await signed(
    forger,
    encodeTicket({ ...readTicket(parseSigned(ticket.signed).payload), count: 10_000 }),
  );
  const forging = new TestStation(authority.line, world.keys.order, forgedTicket, station.signer);
  assert.equal(refusalOf(await forging.ask('open', forging.openRequest())), 'forged-ticket');
  // Signed by the order key, but never issued: a ticket of a store that was lost.
  const unsigned = prepareSigned(encodeTicket(readTicket(parseSigned(ticket.signed).payload)));
  const again = unsigned.finish(
    fixedSignature(await world.keys.order.sign(unsigned.toBeSigned), 32),
  );
  const stranger = new TestStation(authority.line, world.keys.order, again, station.signer);
  assert.equal(refusalOf(await stranger.ask('open', stranger.openRequest())), 'unknown-ticket');
  for (const bytes of [new Uint8Array(0), Uint8Array.of(0x84), new Uint8Array(300).fill(7)]) {
    assert.equal(refusalOf(await station.send('open', bytes)), 'malformed');
  }
  // A request of one kind at the door of another.
  assert.equal(refusalOf(await station.ask('endorse', request)), 'malformed');
});

test('a ticket works from its opening, in its period, until it is closed', async (context) => {
  const { world, station } = await scene(context);
  const element = testElement('a');
  const early = await unitRequest(element, {
    ...(await new TestOpening(world).opening()),
  });
  assert.deepEqual((await station.endorse([early])).map(codeOf), ['ticket-not-opened']);
  const opening = await station.open();
  assert.deepEqual((await station.open()).agreeKey, opening.agreeKey, 'opened once');
  const unit = await unitRequest(element, opening);
  const now = world.nowMs;
  world.nowMs = now - 2 * 86_400_000;
  assert.equal(
    refusalOf(await station.ask('endorse', station.endorseRequest([unit]))),
    'ticket-not-begun',
  );
  world.nowMs = now + 2 * 86_400_000;
  assert.equal(
    refusalOf(await station.ask('endorse', station.endorseRequest([unit]))),
    'ticket-expired',
  );
  world.nowMs = now;
  endorsed((await station.endorse([unit]))[0]);
  // What was made is reported and closed, however late.
  world.nowMs = now + 9 * 86_400_000;
  assert.deepEqual(await station.report([[element, 'locked']]), [undefined]);
  const counts = { issued: 1, released: 1, scrapped: 0, returned: 0 };
  assert.deepEqual(await station.close(counts), { counts, void: 9 });
  world.nowMs = now;
  assert.equal(
    refusalOf(await station.ask('endorse', station.endorseRequest([unit]))),
    'ticket-closed',
  );
  assert.equal(refusalOf(await station.ask('open', station.openRequest())), 'ticket-closed');
  assert.deepEqual(await station.report([[element, 'locked']]), [undefined]);
  assert.deepEqual(await station.report([[element, 'scrapped']]), ['ticket-closed']);
});

/** The opening of another ticket: a proof towards its key is worth nothing elsewhere. */
class TestOpening {
  readonly #world: World;

  constructor(world: World) {
    this.#world = world;
  }

  async opening() {
    const key = nodeCrypto.generateKeyPair('P-256');
    return {
      ticketId: new Uint8Array(16),
      agreeKey: nodeCrypto.publicPoint(key),
      anchors: [this.#world.certificateOf('server')],
      serverIdentity: new Uint8Array(0),
      eui64Range: undefined,
      endorsed: 0,
      nowS: 0,
    };
  }
}

test('states of a unit only go forward', async (context) => {
  const { station } = await scene(context);
  const opening = await station.open();
  const [a, b] = [testElement('a'), testElement('b')];
  await station.endorse(await Promise.all([a, b].map((one) => unitRequest(one, opening))));
  assert.deepEqual(await station.report([[testElement('z'), 'locked']]), ['unknown-unit']);
  assert.deepEqual(await station.report([[a, 'returned']]), [undefined]);
  assert.deepEqual(await station.report([[a, 'verified']]), [undefined], 'finished after all');
  assert.deepEqual(await station.report([[a, 'locked']]), [undefined]);
  assert.deepEqual(
    await station.report([[a, 'locked']]),
    [undefined],
    'a repeated report is taken',
  );
  assert.deepEqual(await station.report([[a, 'verified']]), ['wrong-state']);
  assert.deepEqual(await station.report([[a, 'returned']]), ['wrong-state']);
  assert.deepEqual(await station.report([[b, 'scrapped']]), [undefined]);
  assert.deepEqual(await station.report([[b, 'locked']]), ['wrong-state']);
});

test('nothing closes before everything is accounted for', async (context) => {
  const { authority, station } = await scene(context);
  const a = testElement('a');
  await station.endorse([await unitRequest(a, await station.open())]);
  const none = { issued: 0, released: 0, scrapped: 0, returned: 0 };
  assert.equal(await station.close(none), 'not-accounted-for');
  const refused = await closeBatch(
    authority.closing,
    await alone('batch.close', { batch: 'order-1' }),
  );
  assert.ok(isRefusal(refused) && refused.refused === 'open-tickets');
  const unknown = await closeBatch(
    authority.closing,
    await alone('batch.close', { batch: 'order-9' }),
  );
  assert.ok(isRefusal(unknown) && unknown.refused === 'unknown-batch');
});

test('orders and tickets: what may be asked for', async (context) => {
  const { world, authority, station } = await scene(context, 100);
  const order = {
    order: 'order-2',
    product: 'sensor',
    family: 'software',
    hwType: '1.3.6.1.4.1.32473.1',
    partNumber: '',
    quantity: 10,
    leastProof: 'possession' as const,
    serverIdentity: new Uint8Array(0),
  };
  const refusedOrder = async (request: OrderRequest) => {
    const outcome = await authority.orders.create(await alone('order.create', request));
    return isRefusal(outcome) ? outcome.refused : 'created';
  };
  assert.equal(await refusedOrder({ ...order, order: 'order-1' }), 'order-exists');
  assert.equal(await refusedOrder({ ...order, order: 'a/b' }), 'invalid');
  assert.equal(await refusedOrder({ ...order, quantity: 0 }), 'invalid');
  assert.equal(await refusedOrder({ ...order, hwType: '1' }), 'invalid');
  assert.equal(
    await refusedOrder({ ...order, batches: [{ batch: 'order-1', quantity: 10 }] }),
    'batch-exists',
  );
  assert.equal(await refusedOrder({ ...order, batches: [{ batch: 'b', quantity: 9 }] }), 'invalid');
  const { serverIdentity: _, ...noIdentity } = order;
  assert.equal(await refusedOrder(noIdentity), 'no-server-identity');
  const taken = await authority.orderStore.order('order-1');
  assert.ok(taken);
  for (const offset of [0, 99]) {
    const eui64First = eui64Plus(taken.eui64First, offset);
    assert.ok(eui64First);
    assert.equal(await refusedOrder({ ...order, eui64First }), 'eui64-overlap');
  }
  const last = new Uint8Array(8).fill(255);
  assert.equal(await refusedOrder({ ...order, eui64First: last }), 'invalid');
  assert.equal(await refusedOrder(order), 'created');
  const next = await authority.orderStore.order('order-2');
  assert.deepEqual(next?.eui64First, eui64Plus(taken.eui64First, 100));

  const ticket = {
    batch: 'order-2',
    count: 4,
    stationKeySpki: station.signer.publicKeySpki,
    notBeforeMs: world.nowMs,
    notAfterMs: world.nowMs + 1000,
  };
  const refusedTicket = async (request: TicketRequest) => {
    const outcome = await authority.orders.issueTicket(await alone('ticket.issue', request));
    return isRefusal(outcome) ? outcome.refused : 'created';
  };
  assert.equal(await refusedTicket({ ...ticket, batch: 'none' }), 'unknown-batch');
  assert.equal(await refusedTicket({ ...ticket, count: 11 }), 'batch-exhausted');
  assert.equal(await refusedTicket({ ...ticket, notAfterMs: world.nowMs }), 'invalid');
  assert.equal(await refusedTicket({ ...ticket, stationKeySpki: Uint8Array.of(1) }), 'invalid');
  assert.equal(await refusedTicket(ticket), 'created');
  assert.equal(await refusedTicket({ ...ticket, count: 7 }), 'batch-exhausted');
  assert.equal(await refusedTicket({ ...ticket, count: 6 }), 'created');
});
