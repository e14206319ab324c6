/**
 * The authority dies, or its disk and key fail, at every named point and at random ones: no identity is
 * lost, none made twice, no quota exceeded, and the independent checker agrees.
 */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { EnvironmentError } from '../../src/trust/ports/faults.ts';
import { toHex } from '../../src/wire/bytes/hex.ts';
import { isEndorsed, readEndorseAnswer } from '../../src/wire/line/endorsement.ts';
import { messageTypeOf } from '../../src/wire/line/fields.ts';
import { type OpenAnswer, readOpenAnswer } from '../../src/wire/line/opening.ts';
import { crashing, crashPoints, failures, FailureSwitch } from '../support/issuing/faults.ts';
import {
  testElement,
  type TestElement,
  TestStation,
  unitRequest,
} from '../support/issuing/station.ts';
import { testSigner, type TestSigner, World } from '../support/issuing/world.ts';
import { CrashSwitch, type Flavour } from '../support/line/crash.ts';

const seeds = process.env['BIRTHMARK_NIGHTLY'] === '1' ? 2_000 : 30;
const unitsPerRequest = 3;

/** What a station holds in its hands: it asks until it has an answer, whoever dies meanwhile. */
class PatientStation {
  readonly world: World;
  readonly elements: readonly TestElement[];
  readonly signer: TestSigner;
  ticket: Uint8Array = new Uint8Array(0);
  /** First certificate seen of each element; no later answer may differ. */
  readonly seen = new Map<string, string>();

  constructor(world: World, count: number) {
    this.world = world;
    this.signer = testSigner();
    this.elements = Array.from({ length: count }, (_, index) => testElement(`element ${index}`));
  }

  async order(): Promise<void> {
    const authority = this.world.open();
    const count = this.elements.length;
    this.ticket = (await this.world.ticket(authority, this.signer, count)).signed;
  }

  /** Everything from the opening to the close; rejects or never ends when the authority fails. */
  async work(authority: ReturnType<World['open']>): Promise<void> {
    const { world, ticket, signer } = this;
    const station = new TestStation(authority.line, world.keys.order, ticket, signer);
    const answer = await station.ask('open', station.openRequest());
    // Closed by an earlier, lost round: only its answer is missing.
    if (messageTypeOf(answer) === 'openAnswer')
      await this.#makeAll(station, readOpenAnswer(answer));
    const issued = this.elements.length;
    const counts = { issued, released: issued - 1, scrapped: 1, returned: 0 };
    assert.deepEqual(await station.close(counts), { counts, void: 0 });
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
    }
  }

  /** What must hold at the end, however it came about. */
  async check(): Promise<void> {
    const { world, elements } = this;
    const authority = world.open();
    await authority.issuance.recover();
    await world.logHead(authority);
    const report = await world.fsck();
    assert.deepEqual(report.faults, []);
    assert.deepEqual(
      { units: report.units, unfinished: report.unfinished, seen: this.seen.size },
      { units: elements.length, unfinished: 0, seen: elements.length },
    );
    assert.equal(report.revoked, 1);
  }
}

async function patientStation(context: TestContext, count: number): Promise<PatientStation> {
  const station = new PatientStation(await World.create(context), count);
  await station.order();
  return station;
}

/** One life of the authority: to its crash or to the end of the work. Whether the work is done. */
async function live(station: PatientStation, crash: CrashSwitch): Promise<boolean> {
  const authority = station.world.open(crashing(crash));
  const life = async (): Promise<'done'> => {
    await authority.issuance.recover();
    await station.work(authority);
    return 'done';
  };
  const outcome = await Promise.race([life(), crash.death]);
  await crash.settled();
  return outcome === 'done';
}

for (const point of crashPoints) {
  for (const flavour of ['before', 'after'] as const) {
    test(`crash ${flavour} ${point}`, async (context) => {
      const station = await patientStation(context, 5);
      const crash = new CrashSwitch(
        (at: string, when: Flavour) => at === point && when === flavour,
      );
      assert.equal(await live(station, crash), false, 'the crash point was never reached');
      // What the dead process left is consistent as it is, before anybody mends it.
      assert.deepEqual((await station.world.fsck()).faults, []);
      assert.equal(await live(station, new CrashSwitch(() => false)), true);
      await station.check();
    });
  }
}

test('a crash between T1 and T2 leaves an intent, and exactly its bytes are signed', async (context) => {
  const station = await patientStation(context, 2);
  await live(station, new CrashSwitch((point) => point === 'signature'));
  const before = station.world.open();
  const unfinished = await before.issuanceStore.unfinished(0, 10);
  assert.equal(unfinished.length, 2);
  assert.deepEqual(await before.issuance.recover(), { finished: 2, withheld: [] });
  for (const { serialNumber, tbs } of unfinished) {
    const certificate = await before.issuanceStore.certificateBySerial(serialNumber);
    assert.deepEqual(certificate?.tbs, tbs);
  }
  assert.deepEqual(await before.issuance.recover(), { finished: 0, withheld: [] });
});

test(`${seeds} seeded schedules of crashes`, async (context) => {
  for (let seed = 1; seed <= seeds; seed++) {
    await context.test(`seed ${seed}`, async (each) => {
      const random = generator(seed);
      const station = await patientStation(each, 4 + (seed % 4));
      let lives = 1;
      for (; lives <= 6; lives++) {
        // A life of a few dozen calls at most; later ones are left to finish.
        const end = lives === 6 ? Infinity : Math.floor(random() * 24);
        let passed = 0;
        const crash = new CrashSwitch(() => passed++ === end);
        if (await live(station, crash)) break;
      }
      assert.ok(lives <= 6, 'the work never came to its end');
      await station.check();
    });
  }
});

for (const failure of failures) {
  test(`${failure}: told, and mended by asking again`, async (context) => {
    const station = await patientStation(context, 4);
    const faulty = new FailureSwitch();
    const authority = station.world.open(faulty.between());
    faulty.arm(failure);
    await assert.rejects(
      station.work(authority),
      (error) => error instanceof EnvironmentError && error.retryable,
    );
    assert.ok(faulty.spent, 'the failure never happened');
    // The same process goes on: nothing has to be started anew.
    await station.work(authority);
    await station.check();
  });
}

/** Uniform in [0, 1), the same for the same seed (a 32-bit linear congruential generator). */
function generator(seed: number): () => number {
  let state = (seed * 2_654_435_761) % 2 ** 32;
  return () => {
    state = (state * 1_664_525 + 1_013_904_223) % 2 ** 32;
    return state / 2 ** 32;
  };
}
