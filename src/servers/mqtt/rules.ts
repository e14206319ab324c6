/** What the broker refuses in a CONNECT, a PUBLISH, a will or a SUBSCRIBE, beyond what MQTT itself forbids. */
import { maySubscribe, type MqttParty, publishable } from './topics.ts';

export type ConnectRefusal =
  | 'client-id-too-long'
  | 'client-id-missing'
  | 'will-forbidden'
  | 'too-many-sessions';

export type PublishRefusal =
  | 'topic-forbidden'
  | 'retain-forbidden'
  | 'qos-2-not-offered'
  | 'payload-too-large';

export type SubscribeRefusal = 'filter-forbidden' | 'too-many-subscriptions';

/** Return codes of CONNACK (MQTT 3.1.1 §3.2.2.3). */
export const returnCodes: Readonly<Record<ConnectRefusal, number>> = {
  'client-id-too-long': 2,
  'client-id-missing': 2,
  'will-forbidden': 5,
  'too-many-sessions': 3,
};

export interface Message {
  readonly topic: string;
  readonly payload: Uint8Array | string;
  readonly qos?: number;
  readonly retain?: boolean;
}

export interface ConnectRequest {
  readonly clientId: string;
  readonly clean?: boolean;
  readonly will?: Message;
}

const maximumClientIdBytes = 128;

export function refusalOfConnect(
  party: MqttParty,
  { clientId, clean, will }: ConnectRequest,
  payloadBytes: number,
): ConnectRefusal | undefined {
  if (Buffer.byteLength(clientId) > maximumClientIdBytes) return 'client-id-too-long';
  // [MQTT-3.1.3-8]: without a name there is nothing to remember the session by.
  if (clientId === '' && clean !== true) return 'client-id-missing';
  if (will === undefined || refusalOfMessage(party, will, payloadBytes) === undefined) {
    return undefined;
  }
  return 'will-forbidden';
}

/** For publications and wills alike. */
export function refusalOfMessage(
  party: MqttParty,
  message: Message,
  payloadBytes: number,
): PublishRefusal | undefined {
  if (publishable(party, message.topic) === undefined) return 'topic-forbidden';
  // A retained message would speak for its sender after the sender is gone or revoked.
  if (message.retain === true) return 'retain-forbidden';
  if (message.qos === 2) return 'qos-2-not-offered';
  return Buffer.byteLength(message.payload) > payloadBytes ? 'payload-too-large' : undefined;
}

export function refusalOfFilter(
  party: MqttParty,
  filter: string,
  held: ReadonlySet<string>,
  maximum: number,
): SubscribeRefusal | undefined {
  if (!maySubscribe(party, filter)) return 'filter-forbidden';
  return held.size >= maximum && !held.has(filter) ? 'too-many-subscriptions' : undefined;
}
