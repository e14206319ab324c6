/** RFC 8613 Appendix C, byte for byte, with every intermediate value. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { nodeCrypto } from '../../../src/drivers/keys/software/nodeCrypto.ts';
import { fromHex, toHex } from '../../../src/wire/bytes/hex.ts';
import { encodeMessage, parseMessage } from '../../../src/wire/coap/message.ts';
import { findOption, optionNumbers } from '../../../src/wire/coap/options.ts';
import type { AeadKey, Crypto } from '../../../src/wire/crypto/crypto.ts';
import { protectRequest, unprotectResponse } from '../../../src/wire/oscore/client.ts';
import {
  deriveContext,
  derivationInfo,
  type SecurityContext,
} from '../../../src/wire/oscore/context.ts';
import { ReplayWindow } from '../../../src/wire/oscore/replayWindow.ts';
import { protectResponse, unprotectRequest } from '../../../src/wire/oscore/server.ts';
import { granted, numberOf, refusalOf } from '../../support/oscore.ts';

interface Derivation {
  readonly name: string;
  readonly masterSecret: string;
  readonly masterSalt: string | null;
  readonly idContext: string | null;
  readonly clientId: string;
  readonly serverId: string;
  readonly infoClientKey: string;
  readonly infoServerKey: string;
  readonly infoIv: string;
  readonly clientKey: string;
  readonly serverKey: string;
  readonly commonIv: string;
  readonly clientNonce: string;
  readonly serverNonce: string;
}

interface MessageVector {
  readonly name: string;
  readonly unprotected: string;
  readonly sequenceNumber: number | null;
  readonly aad: string;
  readonly plaintext: string;
  readonly nonce: string;
  readonly option: string;
  readonly ciphertext: string;
  readonly protected: string;
}

const vectors = JSON.parse(
  readFileSync(new URL('../../vectors/rfc8613/appendixC.json', import.meta.url), 'utf8'),
) as {
  readonly derivations: readonly Derivation[];
  readonly requests: ReadonlyArray<MessageVector & { readonly context: string }>;
  readonly responses: ReadonlyArray<MessageVector & { readonly request: string }>;
};

interface Watched {
  readonly keys: string[];
  readonly sealed: { nonce: string; aad: string; plaintext: string; ciphertext: string }[];
}

/** Node's primitives, with a record of what went into them. */
function watched(): { crypto: Crypto; seen: Watched } {
  const seen: Watched = { keys: [], sealed: [] };
  const crypto: Crypto = {
    ...nodeCrypto,
    aeadKey(algorithm, bytes): AeadKey {
      seen.keys.push(toHex(bytes));
      return nodeCrypto.aeadKey(algorithm, bytes);
    },
    seal(key, nonce, aad, plaintext) {
      const ciphertext = nodeCrypto.seal(key, nonce, aad, plaintext);
      seen.sealed.push({
        nonce: toHex(nonce),
        aad: toHex(aad),
        plaintext: toHex(plaintext),
        ciphertext: toHex(ciphertext),
      });
      return ciphertext;
    },
  };
  return { crypto, seen };
}

function contextsOf(
  name: string,
  crypto: Crypto,
): { client: SecurityContext; server: SecurityContext } {
  const vector = vectors.derivations.find((candidate) => candidate.name === name);
  assert.ok(vector);
  const { masterSalt, idContext } = vector;
  const common = {
    crypto,
    masterSecret: fromHex(vector.masterSecret),
    ...(masterSalt === null ? {} : { masterSalt: fromHex(masterSalt) }),
    ...(idContext === null ? {} : { idContext: fromHex(idContext) }),
  };
  const clientId = fromHex(vector.clientId);
  const serverId = fromHex(vector.serverId);
  return {
    client: deriveContext({ ...common, senderId: clientId, recipientId: serverId }),
    server: deriveContext({ ...common, senderId: serverId, recipientId: clientId }),
  };
}

for (const vector of vectors.derivations) {
  test(`RFC 8613 §${vector.name}: key derivation on both sides`, () => {
    const { crypto, seen } = watched();
    const { client, server } = contextsOf(vector.name, crypto);
    const { clientKey, serverKey } = vector;
    assert.deepEqual(seen.keys, [clientKey, serverKey, serverKey, clientKey]);
    const idContext = vector.idContext === null ? undefined : fromHex(vector.idContext);
    const info = (id?: Uint8Array) => toHex(derivationInfo('AES-CCM-16-64-128', idContext, id));
    assert.equal(info(fromHex(vector.clientId)), vector.infoClientKey);
    assert.equal(info(fromHex(vector.serverId)), vector.infoServerKey);
    assert.equal(info(), vector.infoIv);
    const zero = Uint8Array.of(0);
    for (const [context, own, peer] of [
      [client, vector.clientNonce, vector.serverNonce],
      [server, vector.serverNonce, vector.clientNonce],
    ] as const) {
      assert.equal(toHex(context.own.nonce(zero)), own);
      assert.equal(toHex(context.peer.nonce(zero)), peer);
    }
  });
}

for (const vector of vectors.requests) {
  test(`RFC 8613 §${vector.name}: request`, () => {
    const { crypto, seen } = watched();
    const { client, server } = contextsOf(vector.context, crypto);
    const request = parseMessage(fromHex(vector.unprotected));
    const { message } = granted(
      protectRequest(request, numberOf(client, vector.sequenceNumber ?? 0)),
    );
    const { nonce, aad, plaintext, ciphertext } = vector;
    assert.deepEqual(seen.sealed, [{ nonce, aad, plaintext, ciphertext }]);
    const option = findOption(message.options, optionNumbers.oscore);
    assert.equal(option === undefined ? undefined : toHex(option), vector.option);
    assert.equal(toHex(encodeMessage(message)), vector.protected);

    const received = parseMessage(fromHex(vector.protected));
    const opened = granted(unprotectRequest(server, ReplayWindow.empty(), received));
    assert.equal(opened.outcome, 'accepted');
    assert.equal(opened.sequenceNumber, vector.sequenceNumber);
    assert.equal(toHex(encodeMessage(opened.message)), vector.unprotected);
    assert.equal(opened.window.check(opened.sequenceNumber), 'replayed');
  });
}

for (const vector of vectors.responses) {
  test(`RFC 8613 §${vector.name}: response`, () => {
    const { crypto, seen } = watched();
    const asked = vectors.requests.find((candidate) => candidate.name === vector.request);
    assert.ok(asked);
    const { client, server } = contextsOf(asked.context, crypto);
    const request = parseMessage(fromHex(asked.unprotected));
    const sent = granted(protectRequest(request, numberOf(client, asked.sequenceNumber ?? 0)));
    const opened = granted(unprotectRequest(server, ReplayWindow.empty(), sent.message));
    seen.sealed.length = 0;
    const number =
      vector.sequenceNumber === null ? undefined : numberOf(server, vector.sequenceNumber);
    const response = parseMessage(fromHex(vector.unprotected));
    const answer = granted(protectResponse(opened.exchange, response, number));
    const { nonce, aad, plaintext, ciphertext } = vector;
    assert.deepEqual(seen.sealed, [{ nonce, aad, plaintext, ciphertext }]);
    const option = findOption(answer.options, optionNumbers.oscore);
    assert.equal(option === undefined ? undefined : toHex(option), vector.option);
    assert.equal(toHex(encodeMessage(answer)), vector.protected);

    const received = parseMessage(fromHex(vector.protected));
    const verified = granted(unprotectResponse(sent.exchange, received));
    assert.equal(toHex(encodeMessage(verified.message)), vector.unprotected);
    assert.equal(refusalOf(unprotectResponse(sent.exchange, received)), 'already-answered');
  });
}
