/**
 * Who may publish and subscribe where. Rights follow from the verified peer alone:
 *
 *     devices/<deviceId>/telemetry   written by that device, read by applications
 *     devices/<deviceId>/commands    written by applications, read by that device
 *     gateways/<deviceId>/up         written by that gateway, read by the server only
 *     gateways/<deviceId>/down       read by that gateway, written by the server only
 */
import { isDeviceId } from '../../trust/registry/importRules.ts';

export type MqttParty =
  | { readonly kind: 'device'; readonly deviceId: string; readonly isGateway: boolean }
  | { readonly kind: 'application'; readonly name: string };

export type TopicKind = 'telemetry' | 'commands' | 'up' | 'down';

export interface Topic {
  readonly kind: TopicKind;
  readonly deviceId: string;
}

/** The one filter with a wildcard: telemetry of all devices. */
export const allTelemetry = 'devices/+/telemetry';

const roots: Readonly<Record<TopicKind, string>> = {
  telemetry: 'devices',
  commands: 'devices',
  up: 'gateways',
  down: 'gateways',
};

export function topicName(kind: TopicKind, deviceId: string): string {
  return `${roots[kind]}/${deviceId}/${kind}`;
}

/** `undefined` for every name that is not one of ours, `$SYS` and wildcards included. */
export function parseTopic(name: string): Topic | undefined {
  const [root, deviceId = '', kind, ...rest] = name.split('/', 4);
  if (rest.length > 0 || !isDeviceId(deviceId) || !isTopicKind(kind)) return undefined;
  return roots[kind] === root ? { kind, deviceId } : undefined;
}

/** The topic, when the party may publish there. */
export function publishable(party: MqttParty, name: string): Topic | undefined {
  const topic = parseTopic(name);
  if (topic === undefined) return undefined;
  return mayWrite(party, topic) ? topic : undefined;
}

export function maySubscribe(party: MqttParty, filter: string): boolean {
  if (filter === allTelemetry) return party.kind === 'application';
  const topic = parseTopic(filter);
  return topic !== undefined && mayRead(party, topic);
}

/** Whether a message of this topic may go to the party, however it came to be subscribed. */
export function mayReceive(party: MqttParty, name: string): boolean {
  const topic = parseTopic(name);
  return topic !== undefined && mayRead(party, topic);
}

function mayWrite(party: MqttParty, { kind, deviceId }: Topic): boolean {
  if (party.kind === 'application') return kind === 'commands';
  if (party.deviceId !== deviceId) return false;
  return kind === 'telemetry' || (kind === 'up' && party.isGateway);
}

function mayRead(party: MqttParty, { kind, deviceId }: Topic): boolean {
  if (party.kind === 'application') return kind === 'telemetry';
  if (party.deviceId !== deviceId) return false;
  return kind === 'commands' || (kind === 'down' && party.isGateway);
}

function isTopicKind(word: string | undefined): word is TopicKind {
  return word !== undefined && Object.hasOwn(roots, word);
}
