/**
 * EDHOC: what each state and each reader makes of bytes from outside. Readers throw typed errors, states
 * return refusals; whoever reads an authenticated message never gets further with bytes that were changed.
 */
import assert from 'node:assert/strict';
import { nodeCrypto } from '../../src/drivers/keys/software/nodeCrypto.ts';
import { equal } from '../../src/wire/bytes/bytes.ts';
import { fromHex } from '../../src/wire/bytes/hex.ts';
import { carry, carryStart, readCarried } from '../../src/wire/edhoc/carriage.ts';
import { AwaitApplication, AwaitMessage4 } from '../../src/wire/edhoc/completion.ts';
import { compactIdCred, parseCertificateList, parseIdCred } from '../../src/wire/edhoc/idCred.ts';
import { AwaitMessage2, startInitiator } from '../../src/wire/edhoc/initiator.ts';
import {
  encodeMessage1,
  encodePlaintext2,
  encodePlaintext3,
  parseMessage1,
  parsePlaintext2,
  parsePlaintext3,
} from '../../src/wire/edhoc/messages.ts';
import { PskAwaitMessage2, startPskInitiator } from '../../src/wire/edhoc/pskInitiator.ts';
import { PskAwaitMessage3, readPskMessage1 } from '../../src/wire/edhoc/pskResponder.ts';
import { encodeError, isEdhocRefusal, parseError } from '../../src/wire/edhoc/refusal.ts';
import { AwaitMessage3, readMessage1 } from '../../src/wire/edhoc/responder.ts';
import { EdhocSession } from '../../src/wire/edhoc/session.ts';
import { storedKind } from '../../src/wire/edhoc/stored.ts';
import { act, granted, handshake, partyFor, seededCrypto } from '../support/edhoc.ts';
import { fuzz } from '../support/fuzz.ts';

const crypto = seededCrypto('fuzz');
const initiator = partyFor(3, 2, 'initiator', fromHex('2b'), crypto);
const responder = partyFor(3, 2, 'responder', fromHex('32'), crypto);
const cI = fromHex('0e');
const cR = fromHex('27');
const ead = [
  { label: 1, critical: true, value: fromHex('0102') },
  { label: 0, critical: false, value: fromHex('aabbcc') },
];
const profile = { suites: [2, 3, 6], message4: true, knownEad: [1] };

const first = startInitiator(crypto, { ...profile, method: 3 }, { connectionId: cI, ead1: ead });
const composing = granted(
  readMessage1(crypto, { ...profile, methods: [0, 1, 2, 3] }, first.message1),
).compose({ connectionId: cR, own: responder.credential, ead2: ead });
const second = act(granted(composing), responder);
const awaitMessage2 = first.next.store();
const awaitMessage3 = second.next.store();
const verified = granted(
  granted(first.next.readMessage2(second.message2)).accept(responder.credential),
);
const third = act(granted(verified.compose({ own: initiator.credential, ead3: ead })), initiator);
const done = granted(
  granted(second.next.readMessage3(third.message3)).accept(initiator.credential),
);
const last = done.finish({ ead4: ead });
const { message4 } = last;
assert.ok(message4 !== undefined && third.next.kind === 'await-message-4');
const awaitMessage4 = third.next.store();
const bare = handshake({ method: 3, initiator, responder }).messages;

const changed = (input: Uint8Array, genuine: Uint8Array): boolean => !equal(input, genuine);

fuzz({
  name: 'edhoc-message-1',
  valid: [first.message1, ...bare.slice(0, 1)],
  read(input) {
    const outcome = readMessage1(crypto, { ...profile, methods: [0, 1, 2, 3] }, input);
    if (isEdhocRefusal(outcome)) return;
    const message = parseMessage1(input);
    const again = encodeMessage1({ ...message, ead1: message.ead1.bytes });
    assert.deepEqual(again, input, 'one message, one encoding');
  },
});

fuzz({
  name: 'edhoc-message-2',
  valid: [second.message2],
  read(input) {
    const outcome = AwaitMessage2.restore(crypto, awaitMessage2).readMessage2(input);
    if (isEdhocRefusal(outcome)) return;
    if (changed(input, second.message2)) {
      assert.ok(isEdhocRefusal(outcome.accept(responder.credential)));
    }
  },
});

fuzz({
  name: 'edhoc-message-3',
  valid: [third.message3],
  read(input) {
    const outcome = AwaitMessage3.restore(crypto, awaitMessage3).readMessage3(input);
    assert.equal(isEdhocRefusal(outcome), changed(input, third.message3));
  },
});

fuzz({
  name: 'edhoc-message-4',
  valid: [message4],
  read(input) {
    const outcome = AwaitMessage4.restore(crypto, awaitMessage4).readMessage4(input);
    assert.equal(isEdhocRefusal(outcome), changed(input, message4));
  },
});

const pskProfile = { suites: [2], message4: true, knownEad: [1] };
const pskFirst = startPskInitiator(crypto, pskProfile, { connectionId: cI, ead1: ead });
const pskAccepted = granted(readPskMessage1(crypto, pskProfile, pskFirst.message1));
const pskSecond = granted(pskAccepted.compose({ connectionId: cR, ead2: ead }));
const psk = {
  idCred: fromHex('a104420010'),
  psk: new Uint8Array(16).fill(9),
  hash: 'SHA-256',
  credI: initiator.credential.cred,
  credR: responder.credential.cred,
} as const;
const pskAwaitMessage2 = pskFirst.next.store();
const pskAwaitMessage3 = pskSecond.next.store();
const pskThird = granted(pskFirst.next.readMessage2(pskSecond.message2)).compose({
  psk,
  ead3: ead,
});

fuzz({
  name: 'edhoc-psk-message-2',
  valid: [pskSecond.message2],
  read(input) {
    PskAwaitMessage2.restore(crypto, pskAwaitMessage2).readMessage2(input);
  },
});

fuzz({
  name: 'edhoc-psk-message-3',
  valid: [pskThird.message3],
  read(input) {
    const outcome = PskAwaitMessage3.restore(crypto, pskAwaitMessage3).readMessage3(input);
    if (isEdhocRefusal(outcome)) return;
    const verdict = outcome.accept(psk);
    assert.equal(isEdhocRefusal(verdict), changed(input, pskThird.message3));
  },
});

const plaintext2 = encodePlaintext2({
  cR,
  idCredR: fromHex('a11822822e4879f2a41b510c1f9b'),
  signatureOrMac2: new Uint8Array(64),
  ead2: fromHex('01420102'),
});

fuzz({
  name: 'edhoc-plaintexts',
  valid: [plaintext2, fromHex('2732480943305c899f5c54'), fromHex('2b48623c91df41e34c2f')],
  read(input) {
    const parsed = parseEither(input);
    assert.deepEqual(parsed, input);
  },
});

function parseEither(input: Uint8Array): Uint8Array {
  try {
    const two = parsePlaintext2(input);
    return encodePlaintext2({ ...two, ead2: two.ead2.bytes });
  } catch {
    const three = parsePlaintext3(input);
    return encodePlaintext3({ ...three, ead3: three.ead3.bytes });
  }
}

fuzz({
  name: 'edhoc-certificate-list',
  valid: [fromHex('4130'), fromHex('8241304131')],
  read(input) {
    const certificates = parseCertificateList(input);
    assert.ok(certificates.length >= 1 && certificates.length <= 8);
  },
});

fuzz({
  name: 'edhoc-id-cred',
  valid: [
    fromHex('a1044132'),
    fromHex('a11822822e4879f2a41b510c1f9b'),
    fromHex('a118218241304131'),
    fromHex('a11823d8207168747470733a2f2f612e6578616d706c65'),
    fromHex('a10ea10800'),
    fromHex('a10d8440a04040'),
  ],
  read(input) {
    parseIdCred(input);
    compactIdCred(input);
  },
});

fuzz({
  name: 'edhoc-error',
  valid: [fromHex('0202'), fromHex('03f5'), fromHex('016772656675736564'), fromHex('02820203')],
  read(input) {
    const error = parseError(input);
    if (!('diagnostic' in error)) assert.deepEqual(encodeError(error), input);
  },
});

fuzz({
  name: 'edhoc-carriage',
  valid: [
    carryStart(first.message1),
    carry(cR, third.message3),
    carry(fromHex('0a0b0c'), message4),
  ],
  read(input) {
    const carried = readCarried(input);
    const again =
      carried.kind === 'start'
        ? carryStart(carried.message1)
        : carry(carried.connectionId, carried.message);
    assert.deepEqual(again, input);
  },
});

// Not of a peer but of our own store, where a fault may have altered it under a broken seal.
fuzz({
  name: 'edhoc-stored',
  valid: [awaitMessage2, awaitMessage3, awaitMessage4, last.session.store(), pskAwaitMessage3],
  read(input) {
    switch (storedKind(input)) {
      case 'session':
        return EdhocSession.restore(nodeCrypto, input);
      case 'awaitMessage2':
        return AwaitMessage2.restore(nodeCrypto, input);
      case 'awaitMessage3':
        return AwaitMessage3.restore(nodeCrypto, input);
      case 'awaitMessage4':
        return AwaitMessage4.restore(nodeCrypto, input);
      case 'awaitApplication':
        return AwaitApplication.restore(nodeCrypto, input);
      case 'pskAwaitMessage2':
        return PskAwaitMessage2.restore(nodeCrypto, input);
      case 'pskAwaitMessage3':
        return PskAwaitMessage3.restore(nodeCrypto, input);
    }
  },
});
