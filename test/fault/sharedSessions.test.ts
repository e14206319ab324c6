/**
 * Two operating-system processes, one PostgreSQL store, no coordination but the lease: whichever dies or
 * stands still in the middle of whatever, no number is used for two messages and nothing is lost.
 */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { exportPkcs8 } from '../../src/drivers/elements/software/p256.ts';
import { provisionerMigrations } from '../../src/drivers/store/postgres/provisionerTables.ts';
import { toHex } from '../../src/wire/bytes/hex.ts';
import { fromUtf8 } from '../../src/wire/bytes/utf8.ts';
import { seededRandom } from '../../sim/radio/random.ts';
import { calmAir, Field, type FieldDevice } from '../support/field.ts';
import { postgresMissing } from '../support/postgres.ts';
import { type DeliveredMessage, type Outcome, SessionProcess } from '../support/sessionProcess.ts';
import { testServer } from '../support/storeBackends.ts';
import { isNightly } from '../support/nightly.ts';

const server = testServer();
const skip = { skip: postgresMissing };

/** What would show that a number served twice: of the device at the server, of the server on the air. */
class Witness {
  readonly #texts = new Map<string, string>();
  readonly #answers = new Map<string, string>();

  delivered({ sessionId, sequenceNumber, payload }: DeliveredMessage): void {
    const name = `${sessionId}/${sequenceNumber}`;
    const text = fromUtf8(payload) ?? '?';
    // After a crash a message may be delivered twice; under its number always the same.
    assert.equal(this.#texts.get(name) ?? text, text);
    this.#texts.set(name, text);
  }

  /** A response has the nonce of its request: two of them to one request would be two under one nonce. */
  answered(request: Uint8Array, answer: Outcome): void {
    if (!(answer instanceof Uint8Array)) return;
    const name = toHex(request);
    assert.equal(this.#answers.get(name) ?? toHex(answer), toHex(answer));
    this.#answers.set(name, toHex(answer));
  }

  get texts(): string[] {
    return [...new Set(this.#texts.values())].sort();
  }
}

interface House {
  readonly field: Field;
  readonly devices: readonly FieldDevice[];
  readonly witness: Witness;
  readonly start: () => Promise<SessionProcess>;
  /** How often the lease has changed hands. */
  readonly token: () => Promise<number>;
}

async function openHouse(context: TestContext, seed: number): Promise<House> {
  const field = new Field({ air: calmAir, seed });
  // Every few messages other keys: takeovers fall into handshakes, resumptions and updates.
  const options = { renewEvery: 4, lookAhead: 2, updatesPerHandshake: 2, transmissions: 12 };
  const devices = [1, 2, 3].map((number) => field.addDevice(number, options));
  const schema = server().newSchema();
  await (await server().open({ schema, migrations: provisionerMigrations, use: 'shared' })).close();
  const witness = new Witness();
  const setting = {
    address: server().address,
    schema,
    serverKey: exportPkcs8(field.serverKey.privateKey),
    serverIdentity: field.serverIdentity,
    devices: devices.map(({ deviceId, element }) => ({
      deviceId,
      agreeKey: element.keys.agree.publicKey,
    })),
  };
  return {
    field,
    devices,
    witness,
    start: () => SessionProcess.start(context, setting, (message) => witness.delivered(message)),
    token: async () => {
      const [row] = await server().query(`SELECT lease_token FROM ${schema}.session_life`);
      return Number(row?.['lease_token']);
    },
  };
}

async function submitAll({ field, devices }: House, round: number): Promise<string[]> {
  const texts: string[] = [];
  const before = devices.map((device) => device.count('telemetry'));
  for (const [at, device] of devices.entries()) {
    texts.push(`round ${round} of ${at}`);
    await device.submit(`round ${round} of ${at}`);
  }
  await field.time.until(() =>
    devices.every((device, at) => device.count('telemetry') > (before[at] ?? 0)),
  );
  return texts;
}

/** Real kills are dear: the suite has ten in all, the nightly campaign more. */
const deaths = isNightly ? 6 : 1;

test(
  'both get every frame, one is killed in the middle of one, again and again',
  skip,
  async (context) => {
    const house = await openHouse(context, 7);
    const { field, devices, witness } = house;
    const random = seededRandom(7);
    const processes = [await house.start(), await house.start()];
    let killIn = Number.POSITIVE_INFINITY;
    let kills = 0;
    let holder = 0;
    field.gatewayTo(async (endpoint, frame) => {
      const outcomes = processes.map((one) => one.take(endpoint, frame, field.time.nowMs()));
      killIn -= 1;
      if (killIn === 0) {
        // Whoever holds the lease, and next time the other: this frame is on its way into both.
        const victim = (holder + kills) % processes.length;
        kills += 1;
        await processes[victim]?.kill();
        processes[victim] = await house.start();
      }
      const answers = await Promise.all(outcomes);
      for (const answer of answers) witness.answered(frame, answer);
      const answering = answers.findIndex((answer) => answer instanceof Uint8Array);
      if (answering >= 0) holder = answering;
      return answers.find((answer) => answer instanceof Uint8Array);
    });
    for (const device of devices) await device.switchOn();
    const expected: string[] = [];
    for (let round = 0; round < 2 * deaths; round++) {
      if (round % 2 === 1) killIn = 1 + ((random.bytes(1)[0] ?? 0) % 4);
      expected.push(...(await submitAll(house, round)));
    }
    assert.equal(kills, deaths);
    assert.deepEqual(witness.texts, expected.sort());
    assert.ok((await house.token()) >= 2);
  },
);

test(
  'who stood still while the lease ran out writes nothing more under it',
  skip,
  async (context) => {
    const house = await openHouse(context, 8);
    const { field, devices, witness } = house;
    const [first, second] = [await house.start(), await house.start()];
    let serving = first;
    const late: Array<Promise<Outcome>> = [];
    const lateFrames: Uint8Array[] = [];
    field.gatewayTo(async (endpoint, frame) => {
      // It takes these as it goes on, at the time when they were sent: it believes that the lease is its own.
      if (serving === second) {
        late.push(first.take(endpoint, frame, leftAtMs));
        lateFrames.push(frame);
      }
      const answer = await serving.take(endpoint, frame, field.time.nowMs());
      witness.answered(frame, answer);
      return answer instanceof Uint8Array ? answer : undefined;
    });
    let leftAtMs = 0;
    for (const device of devices) await device.switchOn();
    const expected = await submitAll(house, 0);
    assert.equal(await house.token(), 1);
    first.suspend();
    leftAtMs = field.time.nowMs();
    serving = second;
    expected.push(...(await submitAll(house, 1)), ...(await submitAll(house, 2)));
    assert.equal(await house.token(), 2);
    first.goOn();
    const outcomes = await Promise.all(late);
    assert.ok(outcomes.length >= 6);
    for (const [at, outcome] of outcomes.entries()) {
      assert.equal(outcome, 'not-owner', toHex(lateFrames[at] ?? new Uint8Array(0)));
    }
    expected.push(...(await submitAll(house, 3)));
    assert.equal(await house.token(), 2);
    assert.deepEqual(witness.texts, expected.sort());
  },
);
