/**
 * A day's work at an authority, done by people who ask until they have an answer, whoever dies meanwhile:
 * an order, a ticket, births, a report with a scrapped unit, a revocation, lists, the log, the close.
 */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { isRefusal } from '../../../src/trust/ports/faults.ts';
import type { AuthorityNotice } from '../../../src/trust/ports/registryStore.ts';
import { toHex } from '../../../src/wire/bytes/hex.ts';
import { isEndorsed, readEndorseAnswer } from '../../../src/wire/line/endorsement.ts';
import { messageTypeOf } from '../../../src/wire/line/fields.ts';
import { type OpenAnswer, readOpenAnswer } from '../../../src/wire/line/opening.ts';
import { alone } from '../alone.ts';
import { testElement, type TestElement, TestStation, unitRequest } from './station.ts';
import { type OpenAuthority, testSigner, type TestSigner, World } from './world.ts';

const unitsPerRequest = 3;
const dayMs = 86_400_000;

/** The same in every world: a hundred worlds need no hundred keys. */
const hands = {
  station: testSigner(),
  elements: Array.from({ length: 8 }, (_, index) => testElement(`element ${index}`)),
};

export class Shift {
  readonly world: World;
  readonly elements: readonly TestElement[];
  readonly signer: TestSigner = hands.station;
  /** First certificate seen of each element; no later answer may differ. */
  readonly seen = new Map<string, string>();
  readonly #deviceIds = new Map<string, string>();
  #ticket: Uint8Array | undefined;

  private constructor(world: World, count: number) {
    this.world = world;
    this.elements = hands.elements.slice(0, count);
  }

  static async create(context: Pick<TestContext, 'after'>, count: number): Promise<Shift> {
    return new Shift(await World.create(context), count);
  }

  /** Everything, as often as it is asked; rejects or never ends when the authority fails. */
  async work(authority: OpenAuthority): Promise<void> {
    const ticket = (this.#ticket ??= await this.#order(authority));
    const station = new TestStation(authority.line, this.world.keys.order, ticket, this.signer);
    const answer = await station.ask('open', station.openRequest());
    // Closed by an earlier, lost round: only its answer is missing.
    if (messageTypeOf(answer) === 'openAnswer')
      await this.#makeAll(station, readOpenAnswer(answer));
    await this.#revokeOne(authority);
    await authority.lists.advance();
    const issued = this.elements.length;
    const counts = { issued, released: issued - 1, scrapped: 1, returned: 0 };
    assert.deepEqual(await station.close(counts), { counts, void: 0 });
    await (await authority.openLog()).advance();
  }

  /** What must hold at the end, however it came about. */
  async check(): Promise<void> {
    const authority = this.world.open();
    await authority.issuance.recover();
    await authority.lists.advance();
    const head = await (await authority.openLog()).advance();
    const { faults, units, unfinished, revoked, leaves, tickets } = await this.world.fsck();
    assert.deepEqual(faults, []);
    assert.deepEqual(
      { units, unfinished, revoked, tickets, leaves, seen: this.seen.size },
      {
        units: this.elements.length,
        unfinished: 0,
        revoked: 2,
        tickets: 1,
        leaves: head.treeSize,
        seen: this.elements.length,
      },
    );
  }

  async #order({ orders, orderStore }: OpenAuthority): Promise<Uint8Array> {
    const quantity = this.elements.length;
    const made = await orders.create(
      await alone('order.create', {
        order: 'order-1',
        product: 'sensor',
        family: 'software',
        hwType: '1.3.6.1.4.1.32473.1',
        partNumber: 'S-1',
        quantity,
        leastProof: 'line-anchored',
        serverIdentity: Uint8Array.of(0xa1, 1, 2),
      }),
    );
    assert.ok(!isRefusal(made) || made.refused === 'order-exists');
    const ticket = await orders.issueTicket(
      await alone('ticket.issue', {
        batch: 'order-1',
        count: quantity,
        stationKeySpki: this.signer.publicKeySpki,
        notBeforeMs: this.world.nowMs - dayMs,
        notAfterMs: this.world.nowMs + dayMs,
      }),
    );
    if (!isRefusal(ticket)) return ticket.signed;
    // The answer got lost: whoever asks for the tickets of the order sees the one that was made.
    assert.equal(ticket.refused, 'batch-exhausted');
    const [present] = await orderStore.tickets('order-1');
    assert.ok(present);
    return present.signed;
  }

  async #makeAll(station: TestStation, opening: OpenAnswer): Promise<void> {
    const requests: Promise<void>[] = [];
    for (let start = 0; start < this.elements.length; start += unitsPerRequest) {
      requests.push(this.#endorse(station, opening, start));
    }
    // A request that fails lets the others end: the next round finds nothing under way.
    const failed = (await Promise.allSettled(requests)).find(({ status }) => status === 'rejected');
    if (failed?.status === 'rejected') throw failed.reason;
    const [first, ...others] = this.elements;
    assert.ok(first);
    assert.deepEqual(
      await station.report([[first, 'scrapped'], ...others.map((one) => [one, 'locked'] as const)]),
      this.elements.map(() => undefined),
    );
  }

  async #endorse(station: TestStation, opening: OpenAnswer, start: number): Promise<void> {
    const elements = this.elements.slice(start, start + unitsPerRequest);
    const units = await Promise.all(elements.map((element) => unitRequest(element, opening)));
    const answers = readEndorseAnswer(
      await station.ask('endorse', station.endorseRequest(units)),
    ).units;
    for (const answer of answers) {
      // An element that was scrapped by an earlier, lost round keeps its identity.
      if (!isEndorsed(answer)) {
        assert.equal(answer.code, 'scrapped');
        continue;
      }
      const uid = toHex(answer.uid);
      const certificate = toHex(answer.certificate);
      assert.equal(this.seen.get(uid) ?? certificate, certificate, 'a second certificate');
      this.seen.set(uid, certificate);
      this.#deviceIds.set(uid, answer.deviceId);
    }
  }

  async #revokeOne({ statusNotices }: OpenAuthority): Promise<void> {
    const [, second] = this.elements;
    const subject = this.#deviceIds.get(toHex(second?.uid ?? new Uint8Array(0)));
    assert.ok(subject !== undefined);
    const notice: AuthorityNotice = {
      sequence: 1,
      act: 'revoke-device',
      subject,
      holder: undefined,
      code: 'keyCompromise',
      reason: 'lost',
      atMs: this.world.nowMs,
    };
    await statusNotices.record([notice]);
  }
}
