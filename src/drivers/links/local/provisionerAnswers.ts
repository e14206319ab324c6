/** Devices, telemetry and reports in the JSON of the provisioner's local door. */
import {
  type CertificateKind,
  certificateKinds,
  type CertificateState,
  certificateStates,
  type DeviceRole,
  type DeviceState,
  deviceStates,
} from '../../../trust/ports/registryStore.ts';
import { type CloneReason, cloneReasons } from '../../../trust/ports/cloneStore.ts';
import { type TelemetryPath, telemetryPaths } from '../../../trust/ports/telemetryStore.ts';
import {
  type Heard,
  listsStates,
  type RevocationReport,
} from '../../../trust/ports/revocationReport.ts';
import type { Answer } from './answers.ts';

export interface DeviceView {
  readonly deviceId: string;
  readonly state: DeviceState;
  readonly role: DeviceRole;
  readonly product: string;
  readonly owner: string;
  readonly family: string;
  /** Hexadecimal. */
  readonly uid: string;
  readonly eui64: string | undefined;
  readonly proofLevel: string;
  readonly importedMs: number;
  readonly enrolledMs: number | undefined;
  readonly revokedMs: number | undefined;
  readonly revocationReason: string | undefined;
  /** Empty in listings. */
  readonly certificates: readonly CertificateView[];
  /** Newest first; empty in listings. */
  readonly cloneEvidence: readonly CloneView[];
}

export interface CloneView {
  readonly seenMs: number;
  readonly reason: CloneReason;
  readonly sessionId: string;
  readonly sequenceNumber: number;
  readonly ingress: string;
  /** Hexadecimal, as the hash. */
  readonly linkAddress: string;
  readonly messageSha256: string;
}

export interface CertificateView {
  /** Hexadecimal. */
  readonly sha256: string;
  readonly kind: CertificateKind;
  readonly state: CertificateState;
  readonly addedMs: number;
  readonly notAfterMs: number | undefined;
  readonly revokedMs: number | undefined;
  readonly revocationReason: string | undefined;
}

export interface DevicePageView {
  readonly devices: readonly DeviceView[];
  /** Where the next page begins; `undefined` on the last. */
  readonly next: string | undefined;
}

export interface TelemetryView {
  readonly sequence: number;
  readonly receivedMs: number;
  readonly path: TelemetryPath;
  readonly payload: Uint8Array;
}

export type RevocationView = Pick<RevocationReport & Heard, 'devices' | 'killMs' | 'lists'> & {
  /** Connections and sessions that were ended, all kinds together. */
  readonly endedInAll: number;
};

export interface EnrolledClient {
  /** DER, leaf first, without the root. */
  readonly chain: readonly Uint8Array[];
  /** DER of the authorities by which this server is known, and of what is above them. */
  readonly serverAnchors: readonly Uint8Array[];
  readonly roots: readonly Uint8Array[];
}

export interface ProvisionerStatus {
  readonly ports: Readonly<Record<'device' | 'station' | 'api' | 'mqtt', number>>;
  readonly devices: Readonly<Record<DeviceState, number>>;
  readonly connections: number;
  readonly sessions: number;
  readonly lastManifest: number;
  readonly untoldRevocations: number;
  readonly serverIdentity: Uint8Array;
}

export function readDevice(answer: Answer): DeviceView {
  return {
    deviceId: answer.text('deviceId'),
    state: answer.oneOf('state', deviceStates),
    role: answer.oneOf('role', ['sensor', 'gateway']),
    product: answer.text('product'),
    owner: answer.text('owner'),
    family: answer.text('family'),
    uid: answer.text('uid'),
    eui64: answer.optionalText('eui64'),
    proofLevel: answer.text('proofLevel'),
    importedMs: answer.number('importedMs'),
    enrolledMs: answer.optionalNumber('enrolledMs'),
    revokedMs: answer.optionalNumber('revokedMs'),
    revocationReason: answer.optionalText('revocationReason'),
    certificates: answer.has('certificates')
      ? answer.answers('certificates').map(readCertificate)
      : [],
    cloneEvidence: answer.has('cloneEvidence')
      ? answer.answers('cloneEvidence').map(readClone)
      : [],
  };
}

export function readDevicePage(answer: Answer): DevicePageView {
  return {
    devices: answer.answers('devices').map(readDevice),
    next: answer.has('next') ? answer.text('next') : undefined,
  };
}

export function readMessage(answer: Answer): TelemetryView {
  return {
    sequence: answer.number('sequence'),
    receivedMs: answer.number('receivedMs'),
    path: answer.oneOf('path', telemetryPaths),
    payload: answer.base64('payload'),
  };
}

export function readReport(answer: Answer): RevocationView {
  return {
    devices: answer.answers('devices').map((device) => ({
      deviceId: device.text('deviceId'),
      changed: device.oneOf('changed', [true, false]),
      certificates: device.number('certificates'),
    })),
    killMs: answer.number('killMs'),
    lists: answer.oneOf('lists', listsStates),
    endedInAll: answer.sum('ended'),
  };
}

export function readEnrolledClient(answer: Answer): EnrolledClient {
  return {
    chain: answer.base64List('chain'),
    serverAnchors: answer.base64List('serverAnchors'),
    roots: answer.base64List('roots'),
  };
}

export function readStatus(answer: Answer): ProvisionerStatus {
  const ports = answer.answer('ports');
  const devices = answer.answer('devices');
  return {
    ports: {
      device: ports.number('device'),
      station: ports.number('station'),
      api: ports.number('api'),
      mqtt: ports.number('mqtt'),
    },
    devices: {
      expected: devices.number('expected'),
      released: devices.number('released'),
      enrolled: devices.number('enrolled'),
      revoked: devices.number('revoked'),
    },
    connections: answer.number('connections'),
    sessions: answer.number('sessions'),
    lastManifest: answer.number('lastManifest'),
    untoldRevocations: answer.number('untoldRevocations'),
    serverIdentity: answer.base64('serverIdentity'),
  };
}

function readClone(answer: Answer): CloneView {
  return {
    seenMs: answer.number('seenMs'),
    reason: answer.oneOf('reason', cloneReasons),
    sessionId: answer.text('sessionId'),
    sequenceNumber: answer.number('sequenceNumber'),
    ingress: answer.text('ingress'),
    linkAddress: answer.text('linkAddress'),
    messageSha256: answer.text('messageSha256'),
  };
}

function readCertificate(answer: Answer): CertificateView {
  return {
    sha256: answer.text('sha256'),
    kind: answer.oneOf('kind', certificateKinds),
    state: answer.oneOf('state', certificateStates),
    addedMs: answer.number('addedMs'),
    notAfterMs: answer.optionalNumber('notAfterMs'),
    revokedMs: answer.optionalNumber('revokedMs'),
    revocationReason: answer.optionalText('revocationReason'),
  };
}
