/**
 * Sessions of MQTT clients that asked to be remembered (CleanSession 0, MQTT 3.1.1 §3.1.2.4), bounded and
 * in memory: a restart of the broker forgets them, which the client learns from Session Present 0. The
 * methods are the ones that aedes calls on a persistence.
 */
import { Readable } from 'node:stream';
import { allTelemetry, parseTopic } from './topics.ts';

export interface SessionLimits {
  /** Messages waiting for one client; the oldest goes first. */
  readonly queuedMessages: number;
  readonly queuedBytes: number;
}

/** What aedes hands over of a client; `id` is the broker's name for it, `<holder>` or `<holder>/<name>`. */
interface ClientName {
  readonly id: string;
}

export interface StoredSubscription {
  readonly topic: string;
  readonly qos: 0 | 1 | 2;
}

/** A message as aedes moves it; the identifiers are set while it is being delivered. */
export interface StoredPacket {
  readonly topic: string;
  readonly payload: Uint8Array | string;
  readonly qos: 0 | 1 | 2;
  readonly brokerId?: string;
  readonly brokerCounter?: number;
  messageId?: number | undefined;
}

interface Session {
  readonly subscriptions: Map<string, StoredSubscription>;
  queue: StoredPacket[];
  queuedBytes: number;
}

export class SessionStore {
  readonly #limits: SessionLimits;
  /** Whether the client may hold this filter at all: aedes hands over what it refused as well. */
  readonly #allowed: (clientId: string, filter: string) => boolean;
  readonly #sessions = new Map<string, Session>();
  /** Clients with QoS 1 by filter. Filters are exact names and one wildcard, so two look-ups match. */
  readonly #byFilter = new Map<string, Set<string>>();
  readonly #wills = new Map<string, StoredPacket>();

  constructor(limits: SessionLimits, allowed: (clientId: string, filter: string) => boolean) {
    this.#limits = limits;
    this.#allowed = allowed;
  }

  has(clientId: string): boolean {
    return this.#sessions.has(clientId);
  }

  /** Sessions of a holder, whatever its clients are called. */
  countOf(holder: string): number {
    return [...this.#sessions.keys()].filter((clientId) => isOf(clientId, holder)).length;
  }

  /** Subscriptions, queues and wills of the holder are gone. Returns the number of sessions. */
  forget(holder: string): number {
    const mine = [...this.#sessions.keys()].filter((clientId) => isOf(clientId, holder));
    for (const clientId of mine) this.#forgetSession(clientId);
    for (const clientId of this.#wills.keys()) {
      if (isOf(clientId, holder)) this.#wills.delete(clientId);
    }
    return mine.length;
  }

  async setup(): Promise<void> {}

  async destroy(): Promise<void> {
    this.#sessions.clear();
    this.#byFilter.clear();
    this.#wills.clear();
  }

  async addSubscriptions(
    client: ClientName,
    subscriptions: readonly StoredSubscription[],
  ): Promise<void> {
    const session = this.#sessions.get(client.id) ?? newSession();
    this.#sessions.set(client.id, session);
    for (const { topic, qos } of subscriptions) {
      if (!this.#allowed(client.id, topic)) continue;
      session.subscriptions.set(topic, { topic, qos });
      if (qos > 0) this.#index(topic, client.id);
      else this.#unindex(topic, client.id);
    }
  }

  async removeSubscriptions(client: ClientName, topics: readonly string[]): Promise<void> {
    const session = this.#sessions.get(client.id);
    for (const topic of topics) {
      session?.subscriptions.delete(topic);
      this.#unindex(topic, client.id);
    }
    if (session?.subscriptions.size === 0) this.#forgetSession(client.id);
  }

  async subscriptionsByClient(client: ClientName): Promise<readonly StoredSubscription[]> {
    return [...(this.#sessions.get(client.id)?.subscriptions.values() ?? [])];
  }

  async subscriptionsByTopic(
    topic: string,
  ): Promise<ReadonlyArray<StoredSubscription & { readonly clientId: string }>> {
    const filters = parseTopic(topic)?.kind === 'telemetry' ? [topic, allTelemetry] : [topic];
    return filters.flatMap((filter) =>
      [...(this.#byFilter.get(filter) ?? [])].map((clientId) => ({
        clientId,
        topic: filter,
        qos: 1 as const,
      })),
    );
  }

  async cleanSubscriptions(client: ClientName): Promise<void> {
    this.#forgetSession(client.id);
  }

  async outgoingEnqueueCombi(
    subscriptions: ReadonlyArray<{ readonly clientId: string }>,
    packet: StoredPacket,
  ): Promise<void> {
    for (const { clientId } of subscriptions) this.#enqueue(clientId, packet);
  }

  async outgoingEnqueue(
    subscription: { readonly clientId: string },
    packet: StoredPacket,
  ): Promise<void> {
    this.#enqueue(subscription.clientId, packet);
  }

  /** A message that the bound has pushed out of the queue is delivered all the same, without a record. */
  async outgoingUpdate(client: ClientName, packet: StoredPacket): Promise<void> {
    const queue = this.#sessions.get(client.id)?.queue ?? [];
    const stored = queue.find((waiting) => isSameMessage(waiting, packet));
    if (stored !== undefined) stored.messageId = packet.messageId;
  }

  async outgoingClearMessageId(
    client: ClientName,
    packet: StoredPacket,
  ): Promise<StoredPacket | undefined> {
    const session = this.#sessions.get(client.id);
    const index = session?.queue.findIndex((stored) => isSame(stored, packet)) ?? -1;
    if (session === undefined || index < 0) return undefined;
    const [cleared] = session.queue.splice(index, 1);
    if (cleared !== undefined) session.queuedBytes -= sizeOf(cleared);
    return cleared;
  }

  outgoingStream(client: ClientName): Readable {
    return Readable.from([...(this.#sessions.get(client.id)?.queue ?? [])]);
  }

  /** Nothing is kept of QoS 2: such a publication is refused, and a PUBREL without one is answered. */
  async incomingGetPacket(): Promise<never> {
    throw new Error('QoS 2 is not offered');
  }

  async incomingStorePacket(): Promise<never> {
    throw new Error('QoS 2 is not offered');
  }

  async incomingDelPacket(): Promise<void> {}

  /** Nothing is retained: a publication with the flag is refused before it comes here. */
  async storeRetained(): Promise<void> {}

  createRetainedStreamCombi(): Readable {
    return Readable.from([]);
  }

  async putWill(client: ClientName, will: StoredPacket): Promise<void> {
    this.#wills.set(client.id, will);
  }

  async delWill(client: ClientName): Promise<StoredPacket | undefined> {
    const will = this.#wills.get(client.id);
    this.#wills.delete(client.id);
    return will;
  }

  /** Wills of brokers that died: there is no other broker. */
  streamWill(): Readable {
    return Readable.from([]);
  }

  #enqueue(clientId: string, packet: StoredPacket): void {
    const session = this.#sessions.get(clientId);
    if (session === undefined) return;
    session.queue.push({ ...packet });
    session.queuedBytes += sizeOf(packet);
    const { queuedMessages, queuedBytes } = this.#limits;
    while (session.queue.length > queuedMessages || session.queuedBytes > queuedBytes) {
      const oldest = session.queue.shift();
      session.queuedBytes -= oldest === undefined ? 0 : sizeOf(oldest);
    }
  }

  #index(filter: string, clientId: string): void {
    const clients = this.#byFilter.get(filter);
    if (clients === undefined) this.#byFilter.set(filter, new Set([clientId]));
    else clients.add(clientId);
  }

  #unindex(filter: string, clientId: string): void {
    const clients = this.#byFilter.get(filter);
    clients?.delete(clientId);
    if (clients?.size === 0) this.#byFilter.delete(filter);
  }

  #forgetSession(clientId: string): void {
    for (const filter of this.#sessions.get(clientId)?.subscriptions.keys() ?? []) {
      this.#unindex(filter, clientId);
    }
    this.#sessions.delete(clientId);
  }
}

function newSession(): Session {
  return { subscriptions: new Map(), queue: [], queuedBytes: 0 };
}

/** By the identifier that the client acknowledges; one that was never delivered has none. */
function isSame(stored: StoredPacket, packet: StoredPacket): boolean {
  return packet.messageId === undefined
    ? isSameMessage(stored, packet)
    : stored.messageId === packet.messageId;
}

function isSameMessage(left: StoredPacket, right: StoredPacket): boolean {
  return left.brokerId === right.brokerId && left.brokerCounter === right.brokerCounter;
}

function isOf(clientId: string, holder: string): boolean {
  return clientId === holder || clientId.startsWith(`${holder}/`);
}

function sizeOf({ topic, payload }: StoredPacket): number {
  return topic.length + payload.length;
}
