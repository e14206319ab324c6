/** Handshakes for the campaign of changed messages: whatever is changed, nobody completes it. */
import assert from 'node:assert/strict';
import { equal } from '../../../../src/wire/bytes/bytes.ts';
import { fromHex } from '../../../../src/wire/bytes/hex.ts';
import { AwaitMessage4 } from '../../../../src/wire/edhoc/completion.ts';
import { AwaitMessage2, startInitiator } from '../../../../src/wire/edhoc/initiator.ts';
import type { PskCredential } from '../../../../src/wire/edhoc/psk.ts';
import { PskAwaitMessage2, startPskInitiator } from '../../../../src/wire/edhoc/pskInitiator.ts';
import { PskAwaitMessage3, readPskMessage1 } from '../../../../src/wire/edhoc/pskResponder.ts';
import { isEdhocRefusal } from '../../../../src/wire/edhoc/refusal.ts';
import { AwaitMessage3, readMessage1 } from '../../../../src/wire/edhoc/responder.ts';
import type { Method } from '../../../../src/wire/edhoc/suites.ts';
import type { Subject } from '../../../support/campaign.ts';
import { act, granted, partyFor, seededCrypto } from '../../../support/edhoc.ts';

const cI = { connectionId: fromHex('0e') };
const cR = { connectionId: fromHex('27') };
const ead = [{ label: 1, critical: true, value: fromHex('0102') }];
const profile = { suites: [2], message4: true, knownEad: [1] };

export function subject(method: Method, seed: string): Subject {
  const crypto = seededCrypto(`${seed} ${method}`);
  const initiator = partyFor(method, 2, 'initiator', fromHex('2b'), crypto);
  const responder = partyFor(method, 2, 'responder', fromHex('32'), crypto);
  const read = (bytes: Uint8Array): ReturnType<typeof readMessage1> =>
    readMessage1(crypto, { ...profile, methods: [0, 1, 2, 3] }, bytes);
  const first = startInitiator(crypto, { ...profile, method }, { ...cI, ead1: ead });
  const composing = granted(read(first.message1)).compose({
    ...cR,
    own: responder.credential,
    ead2: ead,
  });
  const second = act(granted(composing), responder);
  const awaitMessage2 = reusable(first.next.store(), (bytes) =>
    AwaitMessage2.restore(crypto, bytes),
  );
  const awaitMessage3 = reusable(second.next.store(), (bytes) =>
    AwaitMessage3.restore(crypto, bytes),
  );
  const verified = granted(first.next.readMessage2(second.message2)).accept(responder.credential);
  const third = act(
    granted(granted(verified).compose({ own: initiator.credential, ead3: ead })),
    initiator,
  );
  const done = granted(second.next.readMessage3(third.message3)).accept(initiator.credential);
  const { message4 } = granted(done).finish({ ead4: ead });
  assert.ok(message4 !== undefined && third.next.kind === 'await-message-4');
  const awaitMessage4 = reusable(third.next.store(), (bytes) =>
    AwaitMessage4.restore(crypto, bytes),
  );

  const deliver1 = (bytes: Uint8Array): boolean => {
    const accepted = read(bytes);
    // Another method asks for another kind of key, which this responder does not have.
    if (isEdhocRefusal(accepted) || accepted.method !== method) return false;
    if (equal(accepted.peerConnectionId, cR.connectionId)) return false;
    const step = accepted.compose({ ...cR, own: responder.credential, ead2: ead });
    if (isEdhocRefusal(step)) return false;
    const { next, message2 } = act(step, responder);
    return answered(message2, (message3) => completes(next, message3));
  };
  const answered = (message2: Uint8Array, receive: (message3: Uint8Array) => boolean): boolean => {
    const needed = awaitMessage2().readMessage2(message2);
    if (isEdhocRefusal(needed)) return false;
    const accepted = needed.accept(responder.credential);
    if (isEdhocRefusal(accepted)) return false;
    const step = granted(accepted.compose({ own: initiator.credential, ead3: ead }));
    // An ECDSA signature can be changed into another valid one: message_3 finds that out.
    return receive(act(step, initiator).message3);
  };
  const completes = (state: AwaitMessage3, message3: Uint8Array): boolean => {
    const needed = state.readMessage3(message3);
    return !isEdhocRefusal(needed) && !isEdhocRefusal(needed.accept(initiator.credential));
  };
  const deliver3 = (bytes: Uint8Array): boolean => completes(awaitMessage3(), bytes);
  const deliver4 = (bytes: Uint8Array): boolean =>
    !isEdhocRefusal(awaitMessage4().readMessage4(bytes));
  return {
    name: `method ${method}`,
    messages: [first.message1, second.message2, third.message3, message4],
    deliver: (index, bytes) => {
      if (index === 0) return deliver1(bytes);
      if (index === 1) return answered(bytes, deliver3);
      return index === 2 ? deliver3(bytes) : deliver4(bytes);
    },
  };
}

export function pskSubject(seed: string): Subject {
  const crypto = seededCrypto(`${seed} psk`);
  const psk: PskCredential = {
    idCred: fromHex('a1044110'),
    psk: crypto.random(32),
    hash: 'SHA-256',
    credI: partyFor(3, 2, 'initiator', fromHex('2b'), crypto).credential.cred,
    credR: partyFor(3, 2, 'responder', fromHex('32'), crypto).credential.cred,
  };
  const read = (bytes: Uint8Array): ReturnType<typeof readPskMessage1> =>
    readPskMessage1(crypto, profile, bytes);
  const first = startPskInitiator(crypto, profile, { ...cI, ead1: ead });
  const second = granted(granted(read(first.message1)).compose({ ...cR, ead2: ead }));
  const awaitMessage2 = reusable(first.next.store(), (bytes) =>
    PskAwaitMessage2.restore(crypto, bytes),
  );
  const awaitMessage3 = reusable(second.next.store(), (bytes) =>
    PskAwaitMessage3.restore(crypto, bytes),
  );
  const third = granted(first.next.readMessage2(second.message2)).compose({ psk, ead3: ead });
  const done = granted(granted(second.next.readMessage3(third.message3)).accept(psk));
  const { message4 } = done.finish({ ead4: ead });
  assert.ok(message4 !== undefined && third.next.kind === 'await-message-4');
  const awaitMessage4 = reusable(third.next.store(), (bytes) =>
    AwaitMessage4.restore(crypto, bytes),
  );

  const deliver1 = (bytes: Uint8Array): boolean => {
    const accepted = read(bytes);
    if (isEdhocRefusal(accepted)) return false;
    if (equal(accepted.peerConnectionId, cR.connectionId)) return false;
    const step = accepted.compose({ ...cR, ead2: ead });
    if (isEdhocRefusal(step)) return false;
    return answered(step.message2, (message3) => {
      const needed = step.next.readMessage3(message3);
      return !isEdhocRefusal(needed) && !isEdhocRefusal(needed.accept(psk));
    });
  };
  /** message_2 authenticates nobody: the initiator goes on, and the responder has to notice. */
  const answered = (message2: Uint8Array, receive: (message3: Uint8Array) => boolean): boolean => {
    const read2 = awaitMessage2().readMessage2(message2);
    return !isEdhocRefusal(read2) && receive(read2.compose({ psk, ead3: ead }).message3);
  };
  const deliver3 = (bytes: Uint8Array): boolean => {
    const needed = awaitMessage3().readMessage3(bytes);
    return !isEdhocRefusal(needed) && !isEdhocRefusal(needed.accept(psk));
  };
  const deliver4 = (bytes: Uint8Array): boolean =>
    !isEdhocRefusal(awaitMessage4().readMessage4(bytes));
  return {
    name: 'PSK',
    messages: [first.message1, second.message2, third.message3, message4],
    deliver: (index, bytes) => {
      if (index === 0) return deliver1(bytes);
      if (index === 1) return answered(bytes, deliver3);
      return index === 2 ? deliver3(bytes) : deliver4(bytes);
    },
  };
}

/** A state from its stored form, which is read again only when refusals have used it up. */
function reusable<State extends { readonly spent: boolean }>(
  stored: Uint8Array,
  restore: (bytes: Uint8Array) => State,
): () => State {
  let state = restore(stored);
  return () => {
    if (state.spent) state = restore(stored);
    return state;
  };
}
