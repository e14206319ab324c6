/**
 * From power-on to work, a step at a time. A state is what the element and the store hold: after a loss of
 * power `presentState` finds it again, and the step that was cut short is taken once more.
 *
 *     born -> enrolled -> configured
 */
import { equal } from '../../wire/bytes/bytes.ts';
import { MalformedError } from '../../wire/bytes/malformed.ts';
import { fromUtf8 } from '../../wire/bytes/utf8.ts';
import type { Crypto } from '../../wire/crypto/crypto.ts';
import { decodeCertsOnly } from '../../wire/est/certsOnly.ts';
import { encodeAnchors, readAnchors as decodeAnchors } from '../../wire/line/slotData.ts';
import { parseCertificate } from '../../wire/x509/certificate.ts';
import { p256Spki } from '../../wire/x509/spki.ts';
import type { DeviceClock } from '../ports/clock.ts';
import type { DeviceStore } from '../ports/deviceStore.ts';
import type { DeviceElement } from '../ports/element.ts';
import { DeviceFault } from '../ports/faults.ts';
import type { DeviceServer, ServerAnswer } from '../ports/server.ts';
import { birthKey } from '../identity/signingKeys.ts';
import { extendAnchors } from './anchors.ts';
import { type DeviceConfiguration, parseConfiguration } from './configuration.ts';
import { type DeviceIdentity, judgeLdevid, type LdevidFault, requestLdevid } from './ldevid.ts';

export interface EnrolmentPorts {
  readonly element: DeviceElement;
  readonly store: DeviceStore;
  readonly server: DeviceServer;
  readonly crypto: Crypto;
  readonly clock: DeviceClock;
}

export type DeviceState =
  /** Nothing but what the element was born with. */
  | { readonly kind: 'born' }
  /** The LDevID is in the element. `known` is the configuration of an earlier time. */
  | { readonly kind: 'enrolled'; readonly known: DeviceConfiguration | undefined }
  | { readonly kind: 'configured'; readonly configuration: DeviceConfiguration };

export type StepOutcome =
  | { readonly kind: 'done'; readonly state: DeviceState }
  /** The server asks for patience. */
  | { readonly kind: 'later'; readonly retryAfterMs: number }
  | { readonly kind: 'refused'; readonly what: string }
  | { readonly kind: 'unacceptable'; readonly fault: LdevidFault | 'malformed' };

const anchorsName = 'anchors';
const configurationName = 'configuration';

/** Rejects with a `DeviceFault` when the element was not personalized. */
export async function readIdentity(element: DeviceElement): Promise<DeviceIdentity> {
  const deviceId = fromUtf8((await element.readData('device-id')) ?? new Uint8Array(0));
  const point = await element.publicKey('sign');
  const [idevid] = (await element.readCertificate('idevid')) ?? [];
  if (deviceId === undefined || deviceId === '' || point === undefined || idevid === undefined) {
    throw new DeviceFault('the element has no IDevID', { retryable: false });
  }
  return { deviceId, point, subject: parseCertificate(idevid).subject.der };
}

/** The anchors of the element, and those that were accepted since. */
export async function readAnchors(
  element: DeviceElement,
  store: DeviceStore,
): Promise<readonly Uint8Array[]> {
  const born = await element.readData('anchors');
  if (born === undefined) throw new DeviceFault('the element has no anchors', { retryable: false });
  const accepted = await store.read(anchorsName);
  return accepted === undefined ? decodeAnchors(born) : decodeAnchors(accepted);
}

export async function presentState(
  { element, store }: EnrolmentPorts,
  identity: DeviceIdentity,
): Promise<DeviceState> {
  const [ldevid] = (await element.readCertificate('ldevid')) ?? [];
  if (ldevid === undefined || !isFor(ldevid, identity)) return { kind: 'born' };
  const stored = await store.read(configurationName);
  const known = stored === undefined ? undefined : parseConfiguration(stored, identity.deviceId);
  return { kind: 'enrolled', known };
}

/** Asks the server for what takes the device from this state to the next. */
export function takeStep(
  ports: EnrolmentPorts,
  identity: DeviceIdentity,
  state: Exclude<DeviceState, { readonly kind: 'configured' }>,
): Promise<StepOutcome> {
  return state.kind === 'born' ? enrol(ports, identity) : configure(ports, identity, state.known);
}

async function enrol(ports: EnrolmentPorts, identity: DeviceIdentity): Promise<StepOutcome> {
  const { element, store, server, crypto, clock } = ports;
  const offered = certificatesOf(await server.caCertificates('idevid'));
  if ('kind' in offered) return offered;
  const present = await readAnchors(element, store);
  const extended = extendAnchors(crypto, present, offered.certificates);
  if (extended.length > present.length) {
    await store.commit(new Map([[anchorsName, encodeAnchors(extended)]]));
  }
  const request = await requestLdevid(await birthKey(element), identity.subject);
  const issued = certificatesOf(await server.simpleEnroll('idevid', request));
  if ('kind' in issued) return issued;
  const [ldevid = new Uint8Array(0)] = issued.certificates;
  const judged = judgeLdevid(crypto, ldevid, offered.certificates, identity, clock.nowMs());
  if ('fault' in judged) return { kind: 'unacceptable', fault: judged.fault };
  // A crash before this write: the device asks again and gets another certificate for the same key.
  await element.write({ certificates: { ldevid: judged.chain } });
  return { kind: 'done', state: { kind: 'enrolled', known: undefined } };
}

async function configure(
  { store, server }: EnrolmentPorts,
  { deviceId }: DeviceIdentity,
  known: DeviceConfiguration | undefined,
): Promise<StepOutcome> {
  const answer = await server.configuration();
  if (answer.kind === 'later') return answer;
  if (answer.kind === 'refused') {
    return { kind: 'refused', what: `configuration: status ${answer.status}` };
  }
  const configuration = parseConfiguration(answer.body, deviceId);
  if (configuration === undefined) return { kind: 'unacceptable', fault: 'malformed' };
  if (JSON.stringify(configuration) !== JSON.stringify(known)) {
    await store.commit(new Map([[configurationName, answer.body]]));
  }
  return { kind: 'done', state: { kind: 'configured', configuration } };
}

/** RFC 7030 §4.1.3, §4.2.3: a certs-only message. */
function certificatesOf(
  answer: ServerAnswer,
): { readonly certificates: readonly Uint8Array[] } | StepOutcome {
  if (answer.kind === 'later') return answer;
  if (answer.kind === 'refused') return { kind: 'refused', what: `EST: status ${answer.status}` };
  try {
    return { certificates: decodeCertsOnly(answer.body) };
  } catch (error) {
    if (error instanceof MalformedError) return { kind: 'unacceptable', fault: 'malformed' };
    throw error;
  }
}

/** Another element's certificate in the slot would be of no use: the private key is not here. */
function isFor(ldevid: Uint8Array, { point }: DeviceIdentity): boolean {
  try {
    return equal(parseCertificate(ldevid).publicKey.spki, p256Spki(point));
  } catch (error) {
    if (error instanceof MalformedError) return false;
    throw error;
  }
}
