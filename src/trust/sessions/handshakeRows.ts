/** Half-open handshakes as the store has them: sealed, bounded, each found by an identifier of ours. */
import { empty, equal } from '../../wire/bytes/bytes.ts';
import { toHex } from '../../wire/bytes/hex.ts';
import { CborReader } from '../../wire/cbor/reader.ts';
import * as cbor from '../../wire/cbor/writer.ts';
import { InvariantError } from '../ports/faults.ts';
import type { Endpoint, StoredHandshake } from '../ports/sessionStore.ts';
import type { SessionLimits, SessionPorts } from './ports.ts';

/** A state of EDHOC that waits for the peer. */
interface Waiting {
  /** Ours. */
  readonly connectionId: Uint8Array;
  store(): Uint8Array;
}

export class HandshakeRows {
  readonly #ports: SessionPorts;
  readonly #limits: SessionLimits;

  constructor(ports: SessionPorts, limits: SessionLimits) {
    this.#ports = ports;
    this.#limits = limits;
  }

  /**
   * Random, so that it says nothing, and free where it has to be: one byte that travels as one byte on a
   * raw link; three bytes where all devices of an ingress share one name space.
   */
  async freeConnectionId(endpoint: Endpoint, taken: Uint8Array): Promise<Uint8Array | undefined> {
    const { crypto, store } = this.#ports;
    if (isRoaming(endpoint)) return this.#freeRoamingId(endpoint, taken);
    const all = [taken, ...(await store.connectionIds(endpoint))];
    const free = oneByteIdentifiers.filter((id) => !all.some((other) => equal(other, id)));
    const [chance = 0, more = 0] = crypto.random(2);
    return free[(chance * 256 + more) % Math.max(1, free.length)];
  }

  async add(
    { ingress, linkAddress }: Endpoint,
    next: Waiting,
    message1Hash: Uint8Array,
    answer: Uint8Array,
    nonce: Uint8Array = empty,
  ): Promise<{ readonly evicted: number } | 'taken'> {
    const { crypto, clock, store, sealing } = this.#ports;
    const id = toHex(crypto.random(16));
    const state = cbor.array(cbor.bytes(message1Hash), cbor.bytes(answer), cbor.bytes(nonce));
    // A crash before this write: the sensor sends message_1 again and gets another answer. After it: the
    // same bytes, whether or not they were sent before.
    return store.addHandshake(
      {
        id,
        ingress,
        linkAddress,
        connectionId: next.connectionId,
        beganMs: clock.nowMs(),
        version: 1,
        keys: sealing.seal(next.store(), keysContext(id)),
        state: sealing.seal(state, stateContext(id)),
      },
      {
        perEndpoint: this.#limits.handshakesPerEndpoint,
        perIngress: this.#limits.handshakesPerIngress,
      },
    );
  }

  async find(endpoint: Endpoint, connectionId: Uint8Array): Promise<StoredHandshake | undefined> {
    const rows = await this.#ports.store.handshakes(placeOf(endpoint, connectionId));
    return rows.find((row) => equal(row.connectionId, connectionId));
  }

  /** What `replaceKeys` wrote last, at first the state of the handshake. */
  keysOf({ id, keys }: StoredHandshake): Uint8Array {
    return this.#open(keys, keysContext(id));
  }

  /** False when the handshake is gone or has changed since. */
  replaceKeys({ id, version }: StoredHandshake, keys: Uint8Array): Promise<boolean> {
    const { store, sealing } = this.#ports;
    return store.updateHandshake(id, version, sealing.seal(keys, keysContext(id)));
  }

  /** How it began. */
  stateOf({ id, state }: StoredHandshake): {
    readonly message1Hash: Uint8Array;
    readonly answer: Uint8Array;
    /** Of the question for evidence; no bytes where none was asked. */
    readonly nonce: Uint8Array;
  } {
    const reader = new CborReader(this.#open(state, stateContext(id)));
    const members = reader.array();
    const message1Hash = reader.bytes();
    const answer = reader.bytes();
    // Handshakes that began under an older version have no nonce.
    return { message1Hash, answer, nonce: members > 2 ? reader.bytes() : empty };
  }

  async #freeRoamingId(endpoint: Endpoint, other: Uint8Array): Promise<Uint8Array | undefined> {
    const { crypto, store } = this.#ports;
    for (let attempt = 0; attempt < roamingAttempts; attempt += 1) {
      const id = crypto.random(roamingIdBytes);
      const taken = await store.connectionIds(placeOf(endpoint, id));
      if (taken.length === 0 && !equal(id, other)) return id;
    }
    return undefined;
  }

  #open(sealed: Uint8Array, context: string): Uint8Array {
    const opened = this.#ports.sealing.open(sealed, context);
    if (opened === undefined) throw new InvariantError('a stored handshake cannot be opened');
    return opened;
  }
}

/** No address: a peer on IP, whose address may change with every datagram. */
export function isRoaming({ linkAddress }: Endpoint): boolean {
  return linkAddress.length === 0;
}

/** Where the state of a connection is kept: of a peer without a stable address its identifier alone says it. */
export function placeOf(endpoint: Endpoint, connectionId: Uint8Array): Endpoint {
  if (!isRoaming(endpoint)) return endpoint;
  return { ingress: endpoint.ingress, linkAddress: connectionId };
}

/** 2^24 identifiers: with 10,000 sessions one in 1,700 is taken, and a few tries are enough. */
const roamingIdBytes = 3;
const roamingAttempts = 8;

/** RFC 9528 §3.3.2: the byte strings that travel as the integers -24..23. */
const oneByteIdentifiers: readonly Uint8Array[] = Array.from({ length: 48 }, (_, place) =>
  Uint8Array.of(place < 24 ? place : 0x20 + place - 24),
);

function keysContext(id: string): string {
  return `handshake-keys/${id}`;
}

function stateContext(id: string): string {
  return `handshake-state/${id}`;
}
