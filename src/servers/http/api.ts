/** The API of applications and operators: devices, their telemetry, revocation, metrics. */
import type { FastifyInstance, FastifyReply } from 'fastify';
import type { CloneRecord, CloneStore } from '../../trust/ports/cloneStore.ts';
import { isRefusal, type Refusal } from '../../trust/ports/faults.ts';
import {
  type CertificateRecord,
  type DevicePage,
  type DeviceRecord,
  type DeviceState,
  deviceStates,
} from '../../trust/ports/registryStore.ts';
import type { TelemetryMessage, TelemetryStore } from '../../trust/ports/telemetryStore.ts';
import { isDeviceId } from '../../trust/registry/importRules.ts';
import type { RevocationReport } from '../../trust/ports/revocationReport.ts';
import { toBase64 } from '../../wire/bytes/base64.ts';
import { toHex } from '../../wire/bytes/hex.ts';
import type { Metrics } from './metrics.ts';
import { sendProblem, sendRefusal } from './problem.ts';

export interface ApiOptions {
  readonly devices: {
    device(deviceId: string): Promise<DeviceRecord | undefined>;
    devices(page: DevicePage): Promise<readonly DeviceRecord[]>;
    certificatesOf(holder: string): Promise<readonly CertificateRecord[]>;
  };
  readonly clones: Pick<CloneStore, 'evidenceOf'>;
  readonly telemetry: Pick<TelemetryStore, 'latest'>;
  readonly revoke: (
    deviceId: string,
    reason: string,
  ) => Promise<RevocationReport | Refusal<string>>;
  readonly metrics: Metrics;
  readonly onRefusal: (code: string) => void;
}

/** Entries of a page. */
const pageSizes = { usual: 100, most: 1000 };
const maximumReason = 200;

export function apiRoutes(app: FastifyInstance, options: ApiOptions): void {
  app.get<{ Querystring: Query }>('/v1/devices', async (request, reply) => {
    const page = readDevicePage(request.query);
    if (page === undefined) return badRequest(options, reply, 'limit, after or state is wrong');
    const devices = await options.devices.devices(page);
    return { devices: devices.map(deviceDocument), ...nextOf(devices, page.limit, idOf) };
  });

  app.get<{ Params: DeviceParams }>('/v1/devices/:deviceId', async (request, reply) => {
    const device = await found(options, request.params, reply);
    if (device === undefined) return reply;
    const certificates = await options.devices.certificatesOf(device.deviceId);
    const evidence = await options.clones.evidenceOf(device.deviceId);
    return {
      ...deviceDocument(device),
      certificates: certificates.map(certificateDocument),
      cloneEvidence: evidence.map(cloneDocument),
    };
  });

  app.get<{ Params: DeviceParams; Querystring: Query }>(
    '/v1/devices/:deviceId/telemetry',
    async (request, reply) => {
      const limit = readLimit(request.query.limit);
      const before = readNumber(request.query.before);
      if (limit === undefined || before === null) {
        return badRequest(options, reply, 'limit or before is wrong');
      }
      const device = await found(options, request.params, reply);
      if (device === undefined) return reply;
      const messages = await options.telemetry.latest(device.deviceId, limit, before);
      return { messages: messages.map(messageDocument), ...nextOf(messages, limit, sequenceOf) };
    },
  );

  app.post<{ Params: DeviceParams }>('/v1/devices/:deviceId/revoke', async (request, reply) => {
    const device = await found(options, request.params, reply);
    if (device === undefined) return reply;
    const reason = readReason(request.body);
    if (reason === undefined) {
      return badRequest(options, reply, `reason is a text of 1 to ${maximumReason} characters`);
    }
    const report = await options.revoke(device.deviceId, reason);
    return isRefusal(report) ? sendRefusal(reply, report) : report;
  });

  app.get('/metrics', async (_request, reply) =>
    reply.type(options.metrics.contentType).send(await options.metrics.text()),
  );
}

interface DeviceParams {
  readonly deviceId: string;
}

/** As HTTP gives them: a text, or a list when a name stands there twice. */
interface Query {
  readonly limit?: string | readonly string[];
  readonly after?: string | readonly string[];
  readonly before?: string | readonly string[];
  readonly state?: string | readonly string[];
}

/** What an application sees of a device. Keys and certificates stand for themselves; no secret is known here. */
export function deviceDocument(device: DeviceRecord): object {
  return {
    deviceId: device.deviceId,
    state: device.state,
    role: device.role,
    product: device.product,
    owner: device.owner,
    family: device.family,
    uid: toHex(device.uid),
    eui64: device.eui64 === undefined ? null : toHex(device.eui64),
    proofLevel: device.proofLevel,
    importedMs: device.importedMs,
    enrolledMs: device.enrolledMs ?? null,
    revokedMs: device.revokedMs ?? null,
    revocationReason: device.revocationReason ?? null,
    heldMs: device.heldMs ?? null,
  };
}

export function certificateDocument(certificate: CertificateRecord): object {
  return {
    sha256: toHex(certificate.sha256),
    kind: certificate.kind,
    state: certificate.state,
    addedMs: certificate.addedMs,
    notAfterMs: certificate.notAfterMs ?? null,
    revokedMs: certificate.revokedMs ?? null,
    revocationReason: certificate.revocationReason ?? null,
  };
}

/** For a person to judge: nothing is decided by it. */
export function cloneDocument(evidence: CloneRecord): object {
  return {
    seenMs: evidence.seenMs,
    reason: evidence.reason,
    sessionId: evidence.sessionId,
    sequenceNumber: evidence.sequenceNumber,
    ingress: evidence.ingress,
    linkAddress: toHex(evidence.linkAddress),
    messageSha256: toHex(evidence.messageHash),
  };
}

export function messageDocument(message: TelemetryMessage): object {
  return {
    sequence: message.sequence,
    receivedMs: message.receivedMs,
    path: message.path,
    payload: toBase64(message.payload),
  };
}

async function found(
  { devices, onRefusal }: ApiOptions,
  { deviceId }: DeviceParams,
  reply: FastifyReply,
): Promise<DeviceRecord | undefined> {
  const device = isDeviceId(deviceId) ? await devices.device(deviceId) : undefined;
  if (device !== undefined) return device;
  onRefusal('unknown-device');
  void sendProblem(reply, { status: 404, code: 'unknown-device' });
  return undefined;
}

function badRequest(options: ApiOptions, reply: FastifyReply, detail: string): FastifyReply {
  options.onRefusal('bad-request');
  return sendProblem(reply, { status: 400, code: 'bad-request', detail });
}

/** A full page has a successor, perhaps an empty one: counting what is left would read it all. */
function nextOf<Entry>(
  entries: readonly Entry[],
  limit: number,
  keyOf: (entry: Entry) => string | number,
): { readonly next?: string | number } {
  const last = entries.at(-1);
  return last === undefined || entries.length < limit ? {} : { next: keyOf(last) };
}

function idOf({ deviceId }: DeviceRecord): string {
  return deviceId;
}

function sequenceOf({ sequence }: TelemetryMessage): number {
  return sequence;
}

function readDevicePage(query: Query): DevicePage | undefined {
  const limit = readLimit(query.limit);
  const { after, state } = query;
  if (limit === undefined) return undefined;
  if (after !== undefined && (typeof after !== 'string' || !isDeviceId(after))) return undefined;
  if (state === undefined) return { limit, after };
  return isState(state) ? { limit, after, state } : undefined;
}

function readLimit(text: string | readonly string[] | undefined): number | undefined {
  const value = readNumber(text);
  if (value === undefined) return pageSizes.usual;
  return value === null || value > pageSizes.most ? undefined : value;
}

/** `undefined` when it is not there, `null` when it is no count from 1. */
function readNumber(text: string | readonly string[] | undefined): number | undefined | null {
  if (text === undefined) return undefined;
  return typeof text === 'string' && /^[1-9]\d{0,14}$/.test(text) ? Number(text) : null;
}

function readReason(body: unknown): string | undefined {
  if (typeof body !== 'object' || body === null || !('reason' in body)) return undefined;
  const { reason } = body;
  if (typeof reason !== 'string' || reason === '' || reason.length > maximumReason)
    return undefined;
  return /\p{Cc}/u.test(reason) ? undefined : reason;
}

function isState(text: string | readonly string[]): text is DeviceState {
  return deviceStates.some((state) => state === text);
}
