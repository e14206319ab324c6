/**
 * Sessions over CoAP under an attacker on the way: handshakes of both flows, message_3 with a request, KUDOS,
 * resumption. He changes what is inside of messages, repeats and mixes them, and answers in the server's
 * place. Nothing is accepted that was not said, and when he lets go everybody comes through.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom, type SeededRandom } from '../../../sim/radio/random.ts';
import type { CoapLink } from '../../../src/device/ports/coap.ts';
import { DeviceFault } from '../../../src/device/ports/faults.ts';
import type { CoapSession } from '../../../src/device/sessions/coapSession.ts';
import { empty } from '../../../src/wire/bytes/bytes.ts';
import { MalformedError } from '../../../src/wire/bytes/malformed.ts';
import { utf8 } from '../../../src/wire/bytes/utf8.ts';
import { responses } from '../../../src/wire/coap/codes.ts';
import type { CoapContent, CoapMessage } from '../../../src/wire/coap/message.ts';
import { optionNumbers } from '../../../src/wire/coap/options.ts';
import { assertTrue, changed } from '../../support/attacker.ts';
import { CoapPath, lost, openCoapSession, watchNonces } from '../../support/coapPath.ts';
import { Field, type FieldDevice } from '../../support/field.ts';
import { firstSeed, isNightly } from '../../support/nightly.ts';

/** 1,500 attacks, and 60,000 in the nightly run. */
const worlds = isNightly ? 40 : 1;
const attacksPerWorld = 1_500;
const remembered = 64;

/** Between one device and the server; what is heard anywhere can be used everywhere. */
class AttackedPath implements CoapLink {
  readonly #path: CoapPath;
  readonly #random: SeededRandom;
  readonly #heard: { readonly requests: CoapContent[]; readonly responses: CoapContent[] };
  isActive = true;
  attacks = 0;

  constructor(path: CoapPath, random: SeededRandom, heard: AttackedPath | undefined) {
    this.#path = path;
    this.#random = random;
    this.#heard = heard === undefined ? { requests: [], responses: [] } : heard.#heard;
  }

  async request(request: CoapContent): Promise<CoapContent> {
    if (!this.isActive) return this.#path.request(request);
    hear(this.#heard.requests, request);
    for (let count = this.#random.below(6); count > 0; count--) await this.#attack();
    if (this.#chance(0.04)) throw lost();
    const mine = this.#chance(0.06) ? this.#meddledWith(request, this.#heard.requests) : request;
    const response = await this.#path.request(mine);
    hear(this.#heard.responses, response);
    if (this.#chance(0.04)) throw lost();
    if (this.#chance(0.06)) return this.#meddledWith(response, this.#heard.responses);
    return this.#chance(0.03) ? this.#pick(this.#heard.responses) : response;
  }

  /** On his own account. */
  async #attack(): Promise<void> {
    this.attacks += 1;
    const one = this.#pick(this.#heard.requests);
    const content = this.#chance(0.2) ? one : this.#meddledWith(one, this.#heard.requests);
    const messageId = this.#random.below(65_536);
    const message: CoapMessage = { ...content, type: 'CON', messageId, token: empty };
    const response = await this.#path.deliver(message).catch(ignoreMalformed);
    if (response !== undefined) hear(this.#heard.responses, response);
  }

  /** The OSCORE option or the payload; a code of his own now and then. */
  #meddledWith(content: CoapContent, others: readonly CoapContent[]): CoapContent {
    const other = this.#pick(others);
    if (this.#chance(0.1)) return { ...content, code: responses.unauthorized };
    if (this.#chance(0.15)) return { ...content, options: other.options };
    if (this.#chance(0.15)) return { ...content, payload: other.payload };
    if (this.#chance(0.6)) {
      return { ...content, payload: changed(content.payload, other.payload, this.#random) };
    }
    const options = content.options.map((option) =>
      option.number === optionNumbers.oscore
        ? { ...option, value: changed(option.value, option.value, this.#random) }
        : option,
    );
    return { ...content, options };
  }

  #chance(share: number): boolean {
    return this.#random.next() < share;
  }

  #pick<Item>(items: readonly Item[]): Item {
    return items[this.#random.below(items.length)] ?? assert.fail('nothing heard yet');
  }
}

function hear(heard: CoapContent[], content: CoapContent): void {
  heard.push(content);
  if (heard.length > remembered) heard.shift();
}

/** What cannot be written as a message does not reach anybody. */
function ignoreMalformed(error: unknown): undefined {
  if (error instanceof MalformedError || error instanceof TypeError) return undefined;
  throw error;
}

interface Speaker {
  readonly device: FieldDevice;
  readonly session: CoapSession;
  readonly path: AttackedPath;
}

async function siege(seed: number): Promise<number> {
  const field = new Field({ seed, around: watchNonces });
  const server = new CoapPath(field);
  const random = seededRandom(seed);
  const often = { renewEvery: 4, lookAhead: 3, updatesPerHandshake: 2, resumptionsPerHandshake: 2 };
  const speakers: Speaker[] = [];
  for (const [number, flow] of (['forward', 'reverse', 'forward'] as const).entries()) {
    const device = field.addDevice(number + 1);
    const path = new AttackedPath(server, random, speakers[0]?.path);
    const { session } = await openCoapSession(field, device, path, { ...often, flow });
    speakers.push({ device, session, path });
  }
  const submitted = new Map(speakers.map(({ device }) => [device.deviceId, new Set<string>()]));
  const say = async ({ device, session }: Speaker, text: string): Promise<void> => {
    submitted.get(device.deviceId)?.add(text);
    await session.telemetry(utf8(text)).catch((error: unknown) => {
      if (!(error instanceof DeviceFault)) throw error;
    });
    assertTrue(field, submitted);
  };
  const attacks = (): number => speakers.reduce((sum, { path }) => sum + path.attacks, 0);
  for (let round = 0; attacks() < attacksPerWorld; round++) {
    for (const speaker of speakers) await say(speaker, `${speaker.device.deviceId} says ${round}`);
    if (round % 20 === 19) server.restartServer();
  }
  for (const speaker of speakers) {
    speaker.path.isActive = false;
    const text = `${speaker.device.deviceId} at last`;
    submitted.get(speaker.device.deviceId)?.add(text);
    await speaker.session.telemetry(utf8(text));
    assert.ok(field.textsOf(speaker.device.deviceId).includes(text));
  }
  assertTrue(field, submitted);
  return attacks();
}

test('an attacker on the way of CoAP makes nobody believe anything', async (context) => {
  let attacks = 0;
  for (let world = 0; world < worlds; world++) attacks += await siege(firstSeed + world);
  context.diagnostic(`seed ${firstSeed}, ${worlds} worlds, ${attacks} attacks`);
  assert.ok(attacks >= worlds * attacksPerWorld);
});
