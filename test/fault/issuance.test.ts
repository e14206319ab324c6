/**
 * The authority dies, or its disk and key fail, at every named point and at random ones: no identity is
 * lost, none made twice, no quota exceeded, no revocation lost, and the independent checker agrees.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '../../sim/radio/random.ts';
import { EnvironmentError } from '../../src/trust/ports/faults.ts';
import {
  type Act,
  broken,
  crashing,
  failures,
  FailureSwitch,
  guarded,
  points,
} from '../support/issuing/faults.ts';
import { Shift } from '../support/issuing/shift.ts';
import type { OpenAuthority } from '../support/issuing/world.ts';
import { CrashSwitch, type Flavour } from '../support/line/crash.ts';
import { firstSeed, isNightly } from '../support/nightly.ts';

const seeds = isNightly ? 10_000 : 200;
/** Seeds of one subtest: their worlds go with it. */
const seedsTogether = 25;

/** One life of the authority: to its crash or to the end of the work. Whether the work is done. */
async function live(shift: Shift, crash: CrashSwitch, authority: OpenAuthority): Promise<boolean> {
  const life = async (): Promise<'done'> => {
    await authority.issuance.recover();
    await shift.work(authority);
    return 'done';
  };
  const outcome = await Promise.race([life(), crash.death]);
  await crash.settled();
  return outcome === 'done';
}

function untilCrash(shift: Shift, crash: CrashSwitch): Promise<boolean> {
  return live(shift, crash, shift.world.open(crashing(crash)));
}

for (const point of points) {
  for (const flavour of ['before', 'after'] as const) {
    test(`crash ${flavour} ${point}`, async (context) => {
      const shift = await Shift.create(context, 5);
      const crash = new CrashSwitch(
        (at: string, when: Flavour) => at === point && when === flavour,
      );
      assert.equal(await untilCrash(shift, crash), false, 'the crash point was never reached');
      // What the dead process left is consistent as it is, before anybody mends it.
      assert.deepEqual((await shift.world.fsck()).faults, []);
      assert.equal(await untilCrash(shift, new CrashSwitch(() => false)), true);
      await shift.check();
    });
  }
}

for (const failure of failures) {
  test(`${failure}: told, and mended by asking again`, async (context) => {
    const shift = await Shift.create(context, 4);
    const faulty = new FailureSwitch();
    const authority = shift.world.open(guarded(faulty.act));
    faulty.arm(failure);
    await assert.rejects(
      shift.work(authority),
      (error) => error instanceof EnvironmentError && error.retryable,
    );
    assert.ok(faulty.spent, 'the failure never happened');
    // The same process goes on: nothing has to be started anew.
    await shift.work(authority);
    await shift.check();
  });
}

test('a crash between T1 and T2 leaves an intent, and exactly its bytes are signed', async (context) => {
  const shift = await Shift.create(context, 2);
  await untilCrash(shift, new CrashSwitch((point) => point === 'Signature'));
  const before = shift.world.open();
  const unfinished = await before.issuanceStore.unfinished(0, 10);
  assert.equal(unfinished.length, 2);
  assert.deepEqual(await before.issuance.recover(), { finished: 2, withheld: [] });
  for (const { serialNumber, tbs } of unfinished) {
    const certificate = await before.issuanceStore.certificateBySerial(serialNumber);
    assert.deepEqual(certificate?.tbs, tbs);
  }
  assert.deepEqual(await before.issuance.recover(), { finished: 0, withheld: [] });
});

test('what a lost key had promised is signed no more', async (context) => {
  const shift = await Shift.create(context, 2);
  await untilCrash(shift, new CrashSwitch((point) => point === 'Signature'));
  const authority = shift.world.open({ isLost: (issuer) => issuer === 'factory' });
  const promised = await authority.issuanceStore.unfinished(0, 10);
  const withheld = promised.map(({ id }) => id);
  assert.deepEqual(await authority.issuance.recover(), { finished: 0, withheld });
  assert.deepEqual(await authority.issuanceStore.unfinished(0, 10), promised);
});

/** Lives of a few dozen calls, each of which may fail, with or without effect, and the last of which crashes. */
async function schedule(shift: Shift, seed: number): Promise<void> {
  const random = seededRandom(seed);
  const maximumLives = 8;
  for (let lives = 1; lives <= maximumLives; lives++) {
    const calm = lives >= maximumLives - 1;
    const end = calm ? Infinity : Math.floor(random.next() * 60);
    let passed = 0;
    const crash = new CrashSwitch(() => passed++ === end);
    const act: Act = async (point, work) => {
      const luck = calm ? 1 : random.next();
      if (luck < 0.04) throw broken();
      const result = await crash.guard(point, work);
      if (luck > 0.96 && !calm) throw broken();
      return result;
    };
    const authority = shift.world.open(guarded(act));
    for (let round = 1; round <= 6; round++) {
      try {
        if (await live(shift, crash, authority)) return;
        break;
      } catch (error) {
        if (!(error instanceof EnvironmentError)) throw error;
      }
    }
  }
  assert.fail('the work never came to its end');
}

test(`${seeds} seeded schedules of crashes and failures`, async (context) => {
  for (let first = firstSeed; first < firstSeed + seeds; first += seedsTogether) {
    await context.test(`seeds from ${first}`, async (each) => {
      for (let seed = first; seed < first + seedsTogether; seed++) {
        const shift = await Shift.create(each, 4 + (seed % 4));
        try {
          await schedule(shift, seed);
          await shift.check();
        } catch (error) {
          throw new Error(`seed ${seed}`, { cause: error });
        }
        shift.world.remove();
      }
    });
  }
});
