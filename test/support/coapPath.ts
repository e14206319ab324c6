/**
 * CoAP between a device and the session door without sockets: what is lost, repeated or cut off on the way is
 * the test's to decide. And a watch on every seal: no nonce of a key may come with another message.
 */
import assert from 'node:assert/strict';
import { CoapSession, type CoapSessionEvent } from '../../src/device/sessions/coapSession.ts';
import type { CoapSessionOptions } from '../../src/device/sessions/coapSession.ts';
import { CoapMemory } from '../../src/device/sessions/coapMemory.ts';
import type { CoapLink } from '../../src/device/ports/coap.ts';
import { DeviceFault } from '../../src/device/ports/faults.ts';
import { openSealedStore } from '../../src/device/storage/sealedStore.ts';
import { decompressPoint } from '../../src/drivers/keys/software/points.ts';
import { SessionDoor } from '../../src/servers/coap/sessionDoor.ts';
import { empty } from '../../src/wire/bytes/bytes.ts';
import { toHex } from '../../src/wire/bytes/hex.ts';
import { hasOption, optionNumbers } from '../../src/wire/coap/options.ts';
import type { CoapContent, CoapMessage } from '../../src/wire/coap/message.ts';
import type { AeadKey, Crypto } from '../../src/wire/crypto/crypto.ts';
import { isCombined } from '../../src/wire/oscore/edhocRequest.ts';
import type { Field, FieldDevice } from './field.ts';

export class CoapPath implements CoapLink {
  readonly #field: Field;
  #door: SessionDoor;
  #messageId = 0;
  /** Every request that reached the server, whole, and its response. */
  readonly requests: CoapMessage[] = [];
  readonly responses: Array<CoapContent | undefined> = [];
  /** Throws where the test wants the way to end. */
  onRequest: (moment: 'before' | 'after', count: number) => void = () => undefined;

  constructor(field: Field) {
    this.#field = field;
    this.#door = this.#open();
  }

  async request(request: CoapContent): Promise<CoapContent> {
    this.#messageId += 1;
    const message = { ...request, type: 'CON', messageId: this.#messageId, token: empty } as const;
    const count = this.#messageId;
    this.onRequest('before', count);
    const response = await this.deliver(message);
    this.onRequest('after', count);
    if (response === undefined) throw lost();
    return response;
  }

  /** What anybody may do with what he has recorded. */
  async deliver(message: CoapMessage): Promise<CoapContent | undefined> {
    this.requests.push(message);
    const response = await this.#answer(message);
    this.responses.push(response);
    return response;
  }

  restartServer(): void {
    this.#field.restartServer();
    this.#door = this.#open();
  }

  #answer(message: CoapMessage): Promise<CoapContent | undefined> {
    if (!hasOption(message.options, optionNumbers.oscore)) {
      return message.payload.length === 0
        ? this.#door.onTrigger('peer')
        : this.#door.onEdhoc('peer', message.payload);
    }
    return isCombined(message) ? this.#door.onCombined(message) : this.#door.onProtected(message);
  }

  #open(): SessionDoor {
    return new SessionDoor({
      take: (endpoint, frame) => this.#field.relay.take(endpoint, frame),
      beginReverse: (endpoint) => this.#field.relay.beginReverse(endpoint),
    });
  }
}

export function lost(): DeviceFault {
  return new DeviceFault('lost on the way', { retryable: true });
}

export interface OpenedSession {
  readonly session: CoapSession;
  readonly events: CoapSessionEvent[];
}

export async function openCoapSession(
  field: Field,
  device: FieldDevice,
  link: CoapLink,
  options: Partial<CoapSessionOptions> = {},
): Promise<OpenedSession> {
  const { element, flash } = device;
  const { crypto, time: timer } = field;
  const store = await openSealedStore(element, flash, crypto);
  const events: CoapSessionEvent[] = [];
  const ports = { element, link, store, timer, crypto, decompress: decompressPoint };
  const session = await CoapSession.open(ports, (event) => events.push(event), options);
  return { session, events };
}

/** What a thief of the device's flash would have. */
export async function memoryOf(field: Field, { element, flash }: FieldDevice): Promise<CoapMemory> {
  return new CoapMemory(await openSealedStore(element, flash, field.crypto), field.crypto);
}

/** Fails at the second message under one key and nonce that is not the first one again. */
export function watchNonces(crypto: Crypto): Crypto {
  const names = new WeakMap<AeadKey, string>();
  const sealed = new Map<string, string>();
  return {
    ...crypto,
    aeadKey: (algorithm, bytes) => {
      const key = crypto.aeadKey(algorithm, bytes);
      names.set(key, `${algorithm} ${toHex(crypto.hash('SHA-256', bytes))}`);
      return key;
    },
    seal: (key, nonce, aad, plaintext) => {
      const name = `${names.get(key)} ${toHex(nonce)}`;
      const content = `${toHex(aad)} ${toHex(plaintext)}`;
      assert.equal(sealed.get(name) ?? content, content, 'a nonce was used twice');
      sealed.set(name, content);
      return crypto.seal(key, nonce, aad, plaintext);
    },
  };
}
