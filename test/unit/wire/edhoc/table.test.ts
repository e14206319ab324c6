/** Walks the table of docs/edhoc.md: what each state does with each message. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fromHex } from '../../../../src/wire/bytes/hex.ts';
import { AwaitMessage2, startInitiator } from '../../../../src/wire/edhoc/initiator.ts';
import { kidIdCred } from '../../../../src/wire/edhoc/idCred.ts';
import type { PskCredential } from '../../../../src/wire/edhoc/psk.ts';
import { PskAwaitMessage2, startPskInitiator } from '../../../../src/wire/edhoc/pskInitiator.ts';
import { PskAwaitMessage3, readPskMessage1 } from '../../../../src/wire/edhoc/pskResponder.ts';
import { encodeError, isEdhocRefusal } from '../../../../src/wire/edhoc/refusal.ts';
import { AwaitMessage3, readMessage1 } from '../../../../src/wire/edhoc/responder.ts';
import { act, granted, partyFor, seededCrypto } from '../../../support/edhoc.ts';

const page = readFileSync(new URL('../../../../docs/edhoc.md', import.meta.url), 'utf8');
const table = page
  .split('\n')
  .filter((line) => line.startsWith('| '))
  .map((line) => line.slice(2, -2).split(' | '))
  .filter((cells) => cells.length === 10);
const [columns = [], ...states] = table;

/** Every state that reads a message, fresh, and the messages of the handshake it belongs to. */
interface Run {
  readonly messages: readonly Uint8Array[];
  readonly states: Readonly<Record<string, (bytes: Uint8Array) => object>>;
}

const crypto = seededCrypto('table');
const initiator = partyFor(3, 2, 'initiator', fromHex('2b'), crypto);
const responder = partyFor(3, 2, 'responder', fromHex('32'), crypto);
const profile = { suites: [2], message4: true };
const cI = { connectionId: fromHex('0e') };
const cR = { connectionId: fromHex('27') };
const psk: PskCredential = {
  idCred: kidIdCred(fromHex('10')),
  psk: new Uint8Array(32).fill(7),
  hash: 'SHA-256',
  credI: initiator.credential.cred,
  credR: responder.credential.cred,
};

function run(): Run {
  const first = startInitiator(crypto, { ...profile, method: 3 }, cI);
  const read = (bytes: Uint8Array): ReturnType<typeof readMessage1> =>
    readMessage1(crypto, { ...profile, methods: [3] }, bytes);
  const composing = granted(read(first.message1)).compose({ ...cR, own: responder.credential });
  const second = act(granted(composing), responder);
  const copy = AwaitMessage2.restore(crypto, first.next.store());
  const verified = granted(
    granted(copy.readMessage2(second.message2)).accept(responder.credential),
  );
  const third = act(granted(verified.compose({ own: initiator.credential })), initiator);
  const again = AwaitMessage3.restore(crypto, second.next.store());
  const done = granted(granted(again.readMessage3(third.message3)).accept(initiator.credential));
  const { message4 } = done.finish();
  const last = third.next;
  assert.ok(last.kind === 'await-message-4' && message4 !== undefined);
  return {
    messages: [first.message1, second.message2, third.message3, message4],
    states: {
      readMessage1: read,
      AwaitMessage2: (bytes) => first.next.readMessage2(bytes),
      AwaitMessage3: (bytes) => second.next.readMessage3(bytes),
      AwaitMessage4: (bytes) => {
        const outcome = last.readMessage4(bytes);
        return isEdhocRefusal(outcome) ? outcome : outcome.session;
      },
      spent: (bytes) => copy.readMessage2(bytes),
    },
  };
}

function runPsk(): Run {
  const first = startPskInitiator(crypto, profile, cI);
  const read = (bytes: Uint8Array): ReturnType<typeof readPskMessage1> =>
    readPskMessage1(crypto, profile, bytes);
  const second = granted(granted(read(first.message1)).compose(cR));
  const copy = PskAwaitMessage2.restore(crypto, first.next.store());
  const third = granted(copy.readMessage2(second.message2)).compose({ psk });
  const again = PskAwaitMessage3.restore(crypto, second.next.store());
  const { message4 } = granted(granted(again.readMessage3(third.message3)).accept(psk)).finish();
  assert.ok(message4 !== undefined);
  return {
    messages: [first.message1, second.message2, third.message3, message4],
    states: {
      readPskMessage1: read,
      PskAwaitMessage2: (bytes) => first.next.readMessage2(bytes),
      PskAwaitMessage3: (bytes) => second.next.readMessage3(bytes),
    },
  };
}

function messageOf(column: string, own: Run, other: Run): Uint8Array {
  const number = /^message_([1-4])/.exec(column)?.[1];
  if (number !== undefined) {
    const { messages } = column.endsWith('of another') ? other : own;
    return messages[Number(number) - 1] ?? assert.fail(column);
  }
  if (column === 'error') return encodeError({ code: 1, diagnostic: 'x' });
  assert.equal(column, 'noise');
  return fromHex('ffffffffffff');
}

/** What noise may be taken for: a refusal of what it says, or the state that asks for a credential. */
const byChance = [
  'malformed',
  'unsupported',
  'same-identifiers',
  'critical-ead',
  'responder-credential-needed',
  'psk-message-2-read',
  'psk-needed',
];

function outcomeOf(step: () => object): string {
  try {
    const outcome = step();
    if (isEdhocRefusal(outcome)) return outcome.refused;
    assert.ok('kind' in outcome && typeof outcome.kind === 'string');
    return outcome.kind;
  } catch (error) {
    assert.ok(error instanceof TypeError);
    return 'TypeError';
  }
}

assert.equal(states.length, 8);
for (const [state = '', ...cells] of states) {
  for (const [index, cell] of cells.entries()) {
    const column = columns[index + 1] ?? '';
    test(`${state}, ${column}: ${cell}`, () => {
      for (let round = 0; round < 4; round++) {
        const make = state.toLowerCase().includes('psk') ? runPsk : run;
        const own = make();
        const step = own.states[state];
        assert.ok(step, `no state ${state}`);
        const bytes = messageOf(column, own, make());
        const outcome = outcomeOf(() => step(bytes));
        if (cell === 'chance') assert.ok(byChance.includes(outcome), outcome);
        else assert.equal(outcome, cell);
      }
    });
  }
}
