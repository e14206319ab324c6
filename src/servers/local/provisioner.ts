/** The provisioner's local door: what its operator does on the machine itself, through the command line. */
import type { FastifyInstance, FastifyReply } from 'fastify';
import type { CloneRecord } from '../../trust/ports/cloneStore.ts';
import { isRefusal, type Refusal } from '../../trust/ports/faults.ts';
import {
  type CertificateRecord,
  type DevicePage,
  type DeviceRecord,
  type DeviceRole,
  deviceStates,
} from '../../trust/ports/registryStore.ts';
import type { TelemetryStore } from '../../trust/ports/telemetryStore.ts';
import type { ImportSummary } from '../../trust/registry/registry.ts';
import type { RevocationPlan, RevocationReport } from '../../trust/ports/revocationReport.ts';
import { toBase64 } from '../../wire/bytes/base64.ts';
import {
  certificateDocument,
  cloneDocument,
  deviceDocument,
  messageDocument,
} from '../http/apiDocuments.ts';
import { sendProblem, sendRefusal } from '../http/problem.ts';
import { Fields } from './fields.ts';
import { type StatusOrderActs, statusOrderRoutes } from './statusOrders.ts';

type Outcome<Value> = Promise<Value | Refusal<string>>;

export interface ManifestOrder {
  /** Absolute path on this machine; read by the server, since a reel's manifest is tens of megabytes. */
  readonly file: string;
  readonly format: 'microchip' | 'birthmark';
  /** DER of the certificates whose keys may sign entries, and of the roots of the elements. */
  readonly signers: readonly Uint8Array[];
  readonly anchors: readonly Uint8Array[];
  readonly product: string | undefined;
  readonly state: 'expected' | 'released';
}

export interface ProvisionerActs extends StatusOrderActs {
  readonly device: (deviceId: string) => Promise<DeviceRecord | undefined>;
  readonly devices: (page: DevicePage) => Promise<readonly DeviceRecord[]>;
  readonly certificatesOf: (holder: string) => Promise<readonly CertificateRecord[]>;
  readonly cloneEvidenceOf: (deviceId: string) => Promise<readonly CloneRecord[]>;
  readonly telemetry: Pick<TelemetryStore, 'latest'>;
  readonly setProductRole: (product: string, role: DeviceRole) => Promise<number>;
  readonly planRevocation: (deviceIds: readonly string[]) => Promise<RevocationPlan>;
  readonly revokeDevices: (
    deviceIds: readonly string[],
    reason: string,
  ) => Outcome<RevocationReport>;
  readonly revokeCertificate: (sha256: Uint8Array, reason: string) => Outcome<RevocationReport>;
  readonly hold: (sha256: Uint8Array, reason: string) => Outcome<undefined>;
  readonly reinstate: (sha256: Uint8Array, reason: string) => Outcome<undefined>;
  readonly importManifest: (order: ManifestOrder) => Outcome<ImportSummary>;
  /** What the authority has signed since the last time. */
  readonly pullManifests: () => Outcome<undefined>;
  /** DER: the chain of the new certificate, leaf first, and the authorities by which the client knows us. */
  readonly enrolApplication: (
    name: string,
    kind: 'application' | 'operator',
    request: Uint8Array,
  ) => Outcome<{
    readonly chain: readonly Uint8Array[];
    readonly serverAnchors: readonly Uint8Array[];
    readonly roots: readonly Uint8Array[];
  }>;
  /** A station that the authority has enrolled may come to its door. */
  readonly admitStation: (name: string, certificate: Uint8Array) => Outcome<undefined>;
  readonly status: () => Promise<object>;
}

/** Devices named in one request. */
const maximumNamed = 10_000;
const maximumPage = 1000;

export function provisionerRoutes(app: FastifyInstance, acts: ProvisionerActs): void {
  app.get('/v1/status', () => acts.status());
  deviceRoutes(app, acts);
  certificateRoutes(app, acts);
  statusOrderRoutes(app, acts);

  app.post('/v1/products', async (request, _reply) => {
    const fields = new Fields(request.body);
    const role = fields.oneOf('role', ['sensor', 'gateway']);
    return { changed: await acts.setProductRole(fields.text('product', 64), role) };
  });

  app.post('/v1/manifests', async (request, reply) => {
    const fields = new Fields(request.body);
    const outcome = await acts.importManifest({
      file: fields.text('file', 4096),
      format: fields.oneOf('format', ['microchip', 'birthmark']),
      signers: fields.base64List('signers', 16),
      anchors: fields.base64List('anchors', 16),
      product: fields.optionalText('product', 64),
      state: fields.oneOf('state', ['expected', 'released']),
    });
    return answer(reply, outcome, (summary) => summary);
  });

  app.post('/v1/manifests/pull', async (_request, reply) =>
    answer(reply, await acts.pullManifests(), () => ({})),
  );

  app.post('/v1/applications', async (request, reply) => {
    const fields = new Fields(request.body);
    const name = fields.text('name', 64);
    const kind = fields.oneOf('kind', ['application', 'operator']);
    const outcome = await acts.enrolApplication(name, kind, fields.base64('request'));
    return answer(reply, outcome, ({ chain, serverAnchors, roots }) => ({
      chain: chain.map(toBase64),
      serverAnchors: serverAnchors.map(toBase64),
      roots: roots.map(toBase64),
    }));
  });

  app.post('/v1/stations', async (request, reply) => {
    const fields = new Fields(request.body);
    const outcome = await acts.admitStation(fields.text('name', 64), fields.base64('certificate'));
    return answer(reply, outcome, () => ({}));
  });
}

function deviceRoutes(app: FastifyInstance, acts: ProvisionerActs): void {
  app.post('/v1/devices/list', async (request, _reply) => {
    const fields = new Fields(request.body);
    const after = fields.optionalText('after', 16);
    const state = fields.optionalText('state', 16);
    const page = {
      limit: maximumPage,
      after,
      state: state === undefined ? undefined : fields.oneOf('state', deviceStates),
    };
    const devices = await acts.devices(page);
    const next = devices.length < maximumPage ? undefined : devices.at(-1)?.deviceId;
    return { devices: devices.map(deviceDocument), ...(next === undefined ? {} : { next }) };
  });

  app.post('/v1/devices/show', async (request, reply) => {
    const device = await acts.device(new Fields(request.body).text('deviceId', 16));
    if (device === undefined) return unknownDevice(reply);
    const certificates = await acts.certificatesOf(device.deviceId);
    const evidence = await acts.cloneEvidenceOf(device.deviceId);
    return {
      ...deviceDocument(device),
      certificates: certificates.map(certificateDocument),
      cloneEvidence: evidence.map(cloneDocument),
    };
  });

  app.post('/v1/devices/telemetry', async (request, reply) => {
    const fields = new Fields(request.body);
    const device = await acts.device(fields.text('deviceId', 16));
    if (device === undefined) return unknownDevice(reply);
    const messages = await acts.telemetry.latest(device.deviceId, maximumPage);
    return { messages: messages.map(messageDocument) };
  });

  app.post('/v1/devices/revoke', async (request, reply) => {
    const fields = new Fields(request.body);
    const deviceIds = fields.texts('deviceIds', maximumNamed);
    if (fields.flag('dryRun')) return acts.planRevocation(deviceIds);
    const outcome = await acts.revokeDevices(deviceIds, fields.text('reason'));
    return answer(reply, outcome, reportDocument);
  });
}

function certificateRoutes(app: FastifyInstance, acts: ProvisionerActs): void {
  app.post('/v1/certificates/revoke', async (request, reply) => {
    const fields = new Fields(request.body);
    const outcome = await acts.revokeCertificate(fields.hex('sha256'), fields.text('reason'));
    return answer(reply, outcome, reportDocument);
  });

  for (const act of ['hold', 'reinstate'] as const) {
    app.post(`/v1/certificates/${act}`, async (request, reply) => {
      const fields = new Fields(request.body);
      const outcome = await acts[act](fields.hex('sha256'), fields.text('reason'));
      return answer(reply, outcome, () => ({}));
    });
  }
}

function answer<Value>(
  reply: FastifyReply,
  outcome: Value | Refusal<string>,
  document: (value: Value) => object,
): object {
  return isRefusal(outcome) ? sendRefusal(reply, outcome) : document(outcome);
}

/** `endedInAll` beside the kinds, whose names may grow. */
function reportDocument(report: RevocationReport): object {
  const endedInAll = Object.values(report.ended).reduce((total, count) => total + count, 0);
  return { ...report, endedInAll };
}

function unknownDevice(reply: FastifyReply): FastifyReply {
  return sendProblem(reply, { status: 404, code: 'unknown-device', detail: 'no such device' });
}
