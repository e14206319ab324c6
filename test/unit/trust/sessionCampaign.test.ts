/**
 * Sessions as a whole under an attacker who has the way between devices and server: he changes, repeats,
 * withholds, reorders and reflects frames, and mixes those of one device, handshake or direction with those
 * of another. Nothing is accepted that was not said, nobody is taken for somebody else, and when he lets go
 * everybody comes through.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom, type SeededRandom } from '../../../sim/radio/random.ts';
import type { Endpoint } from '../../../src/trust/ports/sessionStore.ts';
import { writeEnvelope } from '../../../src/wire/relay/envelope.ts';
import { assertTrue, changed } from '../../support/attacker.ts';
import { watchNonces } from '../../support/coapPath.ts';
import { Field, type FieldDevice, gatewayId } from '../../support/field.ts';
import { firstSeed, isNightly } from '../../support/nightly.ts';

/** 2,000 attacks, and 80,000 in the nightly run; each may be a change, a repetition, a mixture. */
const worlds = isNightly ? 80 : 2;
const attacksPerWorld = 1_000;

/** Frames that he remembers; what he changes is one of them, mostly of late. */
const remembered = 64;

class Attacker {
  readonly #field: Field;
  readonly #random: SeededRandom;
  readonly #devices: readonly FieldDevice[];
  readonly #heard: Uint8Array[] = [];
  /** Withheld answers, to be let through later or never. */
  readonly #withheld: Array<() => Promise<void>> = [];
  attacks = 0;
  isActive = true;

  constructor(field: Field, devices: readonly FieldDevice[], random: SeededRandom) {
    this.#field = field;
    this.#devices = devices;
    this.#random = random;
  }

  /** In place of the gateway's way to the server and back. */
  async carry(endpoint: Endpoint, frame: Uint8Array): Promise<Uint8Array | undefined> {
    this.#hear(frame);
    if (!this.isActive) return this.#answer(endpoint, frame);
    for (let count = this.#random.below(6); count > 0; count--) await this.#attack();
    const answer = this.#chance(0.9) ? await this.#answer(endpoint, frame) : undefined;
    if (answer === undefined || this.#chance(0.8)) return answer;
    if (this.#chance(0.5)) this.#withheld.push(() => this.#down(endpoint.linkAddress, answer));
    return undefined;
  }

  async #attack(): Promise<void> {
    this.attacks += 1;
    const held = this.#chance(0.05) ? this.#withheld.shift() : undefined;
    if (held !== undefined) return held();
    const { linkAddress } = this.#pick(this.#devices);
    const frame = this.#chance(0.25)
      ? this.#pick(this.#heard)
      : changed(this.#late(), this.#pick(this.#heard), this.#random);
    if (this.#chance(0.4)) return this.#down(linkAddress, frame);
    const answer = await this.#answer({ ingress: gatewayId, linkAddress }, frame);
    if (answer !== undefined && this.#chance(0.3)) await this.#down(linkAddress, answer);
    return undefined;
  }

  async #answer(endpoint: Endpoint, frame: Uint8Array): Promise<Uint8Array | undefined> {
    const outcome = await this.#field.relay.take(endpoint, frame);
    if (!(outcome instanceof Uint8Array)) return undefined;
    this.#hear(outcome);
    return outcome;
  }

  async #down(linkAddress: Uint8Array, frame: Uint8Array): Promise<void> {
    if (frame.length === 0) return;
    await this.#field.gateway.onDown(writeEnvelope({ linkAddress, frame }));
  }

  #hear(frame: Uint8Array): void {
    this.#heard.push(frame);
    if (this.#heard.length > remembered) this.#heard.shift();
  }

  #late(): Uint8Array {
    const { length } = this.#heard;
    return this.#heard[length - 1 - this.#random.below(Math.min(length, 8))] ?? new Uint8Array(1);
  }

  #chance(share: number): boolean {
    return this.#random.next() < share;
  }

  #pick<Item>(items: readonly Item[]): Item {
    return items[this.#random.below(items.length)] ?? assert.fail('nothing heard yet');
  }
}

async function siege(seed: number): Promise<number> {
  const field = new Field({ seed, around: watchNonces });
  const often = { renewEvery: 5, lookAhead: 4, updatesPerHandshake: 2, maximumQueued: 400 };
  const rest = { firstMs: 1_000, longestMs: 10_000 };
  const devices = [1, 2, 3].map((number) => field.addDevice(number, { ...often, rest }));
  const attacker = new Attacker(field, devices, seededRandom(seed));
  field.gatewayTo((endpoint, frame) => attacker.carry(endpoint, frame));
  const submitted = new Map(devices.map(({ deviceId }) => [deviceId, new Set<string>()]));
  const say = async (device: FieldDevice, text: string): Promise<void> => {
    submitted.get(device.deviceId)?.add(text);
    await device.submit(text);
  };
  for (const device of devices) await device.switchOn();
  let round = 0;
  while (attacker.attacks < attacksPerWorld) {
    for (const device of devices) await say(device, `${device.deviceId} says ${round}`);
    round += 1;
    const until = field.time.nowMs() + 20_000;
    while (field.time.nowMs() < until && (await field.time.step())) assertTrue(field, submitted);
  }
  attacker.isActive = false;
  for (const device of devices) await say(device, `${device.deviceId} at last`);
  await field.time.until(() =>
    devices.every(({ deviceId }) => field.textsOf(deviceId).includes(`${deviceId} at last`)),
  );
  assertTrue(field, submitted);
  return attacker.attacks;
}

test('an attacker on the way makes nobody believe anything', async (context) => {
  let attacks = 0;
  for (let world = 0; world < worlds; world++) attacks += await siege(firstSeed + world);
  context.diagnostic(`seed ${firstSeed}, ${worlds} worlds, ${attacks} attacks`);
  assert.ok(attacks >= worlds * attacksPerWorld);
});
