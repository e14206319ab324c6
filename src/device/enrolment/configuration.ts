/** What the server tells a device that is enrolled, as JSON; members that are not known are passed over. */
import { fromUtf8 } from '../../wire/bytes/utf8.ts';

export interface DeviceConfiguration {
  /** A gateway also carries frames of others. */
  readonly role: 'sensor' | 'gateway';
  readonly mqtt: { readonly host: string; readonly port: number };
}

/** `undefined` when it is no configuration for this device: what is half understood is not acted upon. */
export function parseConfiguration(
  body: Uint8Array,
  deviceId: string,
): DeviceConfiguration | undefined {
  const value = objectOf(parseJson(body));
  const mqtt = objectOf(value?.['mqtt']);
  if (value?.['deviceId'] !== deviceId || mqtt === undefined) return undefined;
  const { role } = value;
  const { host, port } = mqtt;
  if (role !== 'sensor' && role !== 'gateway') return undefined;
  if (typeof host !== 'string' || !/^[A-Za-z0-9.:-]{1,253}$/.test(host)) return undefined;
  if (typeof port !== 'number' || !Number.isInteger(port) || port < 1 || port > 65_535) {
    return undefined;
  }
  return { role, mqtt: { host, port } };
}

function parseJson(body: Uint8Array): unknown {
  const text = fromUtf8(body);
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function objectOf(value: unknown): Readonly<Record<string, unknown>> | undefined {
  return typeof value === 'object' && value !== null ? { ...value } : undefined;
}
