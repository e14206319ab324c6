/**
 * Devices, their certificates and telemetry, and the orders about them: the same routes at the API and at
 * the local door. Who may use which is the API's to see to.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { actRules } from '../../trust/approvals/acts.ts';
import type { CloneStore } from '../../trust/ports/cloneStore.ts';
import { isRefusal, type Refusal } from '../../trust/ports/faults.ts';
import type {
  CertificateKind,
  CertificateRecord,
  DevicePage,
  DeviceRecord,
} from '../../trust/ports/registryStore.ts';
import type {
  Heard,
  RevocationPlan,
  RevocationReport,
} from '../../trust/ports/revocationReport.ts';
import type { StatusOrder, StatusStep } from '../../trust/ports/statusOrders.ts';
import type { TelemetryStore } from '../../trust/ports/telemetryStore.ts';
import { fromHex } from '../../wire/bytes/hex.ts';
import { readApproval } from '../local/authorityFields.ts';
import { Fields } from '../local/fields.ts';
import { readStatusOrder } from '../local/statusOrders.ts';
import { described } from './apiDescription.ts';
import {
  certificateDocument,
  cloneDocument,
  deviceDocument,
  messageDocument,
} from './apiDocuments.ts';
import { parameters, queries, schemas } from './apiSchemas.ts';
import { isAsSeen, sendCurrent } from './conditions.ts';
import { nextOf } from './pages.ts';
import { sendProblem, sendRefusal } from './problem.ts';

type Outcome<Value> = Promise<Value | Refusal<string>>;

export interface Resources {
  readonly devices: {
    device(deviceId: string): Promise<DeviceRecord | undefined>;
    devices(page: DevicePage): Promise<readonly DeviceRecord[]>;
    certificate(sha256: Uint8Array): Promise<CertificateRecord | undefined>;
    certificatesOf(holder: string): Promise<readonly CertificateRecord[]>;
  };
  readonly clones: Pick<CloneStore, 'evidenceOf'>;
  readonly telemetry: Pick<TelemetryStore, 'latest'>;
  readonly acts: ResourceActs;
}

export interface ResourceOptions extends Resources {
  /** Whether the caller acts on devices and their certificates alone; nobody does where this is absent. */
  readonly isLimited?: (request: FastifyRequest) => boolean;
  readonly onRefusal: (code: string) => void;
}

export interface ResourceActs {
  readonly planRevocation: (deviceIds: readonly string[]) => Promise<RevocationPlan>;
  /** The end of one device waits for nobody, as that of a certificate, and a hold; lists and answers may. */
  readonly revokeDevice: (deviceId: string, reason: string) => Outcome<RevocationReport & Heard>;
  /** Refused for more devices than one person may revoke. */
  readonly revokeDevices: (
    deviceIds: readonly string[],
    reason: string,
  ) => Outcome<RevocationReport & Heard>;
  readonly revokeCertificate: (
    sha256: Uint8Array,
    reason: string,
  ) => Outcome<RevocationReport & Heard>;
  readonly hold: (sha256: Uint8Array, reason: string) => Outcome<Heard>;
  /** Refused where it would be one more than one person may. */
  readonly reinstate: (sha256: Uint8Array, reason: string) => Outcome<Heard>;
  /** Takes in what the authority has signed since the last time. */
  readonly pullManifests: () => Outcome<undefined>;
  readonly statusStep: (
    order: StatusOrder,
    after: string | undefined,
    approval: Uint8Array | undefined,
  ) => Outcome<StatusStep>;
}

/** Ten thousand devices by name, or an order about a thousand. */
const namedBytes = 262_144;
const one = { roles: actRules['status.mass'].requesters, applications: true } as const;
const many = { roles: actRules['status.mass'].requesters } as const;

export function resourceRoutes(app: FastifyInstance, options: ResourceOptions): void {
  deviceRoutes(app, options);
  revocationRoutes(app, options);
  telemetryRoute(app, options);
  certificateRoutes(app, options);
  statusOrderRoute(app, options);
  manifestRoute(app, options);
}

interface DeviceRoute {
  Params: { readonly deviceId: string };
}

interface CertificateRoute {
  Params: { readonly sha256: string };
}

interface Act {
  Body: { readonly reason: string };
}

function deviceRoutes(app: FastifyInstance, options: ResourceOptions): void {
  const { devices, acts, onRefusal } = options;

  app.get<{ Querystring: DevicePage }>(
    '/devices',
    described('listDevices', 'devices', 'Devices in the order of their ids', {
      querystring: queries.devices,
      answer: schemas.devicePage,
    }),
    async ({ query }) => {
      const page = await devices.devices(query);
      return { devices: page.map(deviceDocument), ...nextOf(page, query.limit, idOf) };
    },
  );

  app.get<DeviceRoute>(
    '/devices/:deviceId',
    described('getDevice', 'devices', 'One device with its certificates', {
      params: parameters.device,
      answer: schemas.device,
    }),
    async (request, reply) => {
      const device = await devices.device(request.params.deviceId);
      if (device === undefined) return missing(options, reply, 'unknown-device');
      return sendCurrent(request, reply, await wholeDevice(options, device));
    },
  );

  app.post<DeviceRoute & Act>(
    '/devices/:deviceId/revoke',
    described('revokeDevice', 'devices', 'End a device: for good, and at once', {
      params: parameters.device,
      body: schemas.reason,
      answer: schemas.revocation,
      may: one,
      conditional: true,
    }),
    async (request, reply) => {
      const device = await devices.device(request.params.deviceId);
      if (device === undefined) return missing(options, reply, 'unknown-device');
      if (!isAsSeen(request, reply, await wholeDevice(options, device), onRefusal)) return reply;
      return sendOutcome(
        options,
        reply,
        await acts.revokeDevice(device.deviceId, request.body.reason),
      );
    },
  );
}

function revocationRoutes(app: FastifyInstance, options: ResourceOptions): void {
  const { acts } = options;
  app.post<{ Body: { readonly deviceIds: readonly string[] } }>(
    '/devices/plan-revocation',
    described('planRevocation', 'devices', 'What the end of these devices would change', {
      body: schemas.named,
      answer: schemas.revocationPlan,
      may: many,
      bodyLimit: namedBytes,
    }),
    ({ body }) => acts.planRevocation(body.deviceIds),
  );

  app.post<Act & { Body: { readonly deviceIds: readonly string[] } }>(
    '/devices/revoke',
    described('revokeDevices', 'devices', 'End devices: as many as one person may', {
      body: schemas.namedWithReason,
      answer: schemas.revocation,
      may: many,
      bodyLimit: namedBytes,
    }),
    async ({ body }, reply) =>
      sendOutcome(options, reply, await acts.revokeDevices(body.deviceIds, body.reason)),
  );
}

function telemetryRoute(app: FastifyInstance, options: ResourceOptions): void {
  app.get<DeviceRoute & { Querystring: { readonly limit: number; readonly before?: number } }>(
    '/devices/:deviceId/telemetry',
    described('listTelemetry', 'devices', 'The latest messages of a device, newest first', {
      params: parameters.device,
      querystring: queries.telemetry,
      answer: schemas.telemetryPage,
    }),
    async ({ params, query }, reply) => {
      const device = await options.devices.device(params.deviceId);
      if (device === undefined) return missing(options, reply, 'unknown-device');
      const { limit, before } = query;
      const messages = await options.telemetry.latest(device.deviceId, limit, before);
      return { messages: messages.map(messageDocument), ...nextOf(messages, limit, sequenceOf) };
    },
  );
}

function certificateRoutes(app: FastifyInstance, options: ResourceOptions): void {
  const { acts } = options;
  const params = parameters.certificate;

  app.get<CertificateRoute>(
    '/certificates/:sha256',
    described('getCertificate', 'certificates', 'One certificate', {
      params,
      answer: schemas.certificate,
    }),
    (request, reply) => sendCertificate(options, request, reply),
  );

  app.post<CertificateRoute & Act>(
    '/certificates/:sha256/revoke',
    described('revokeCertificate', 'certificates', 'End one certificate, and what it opened', {
      params,
      body: schemas.reason,
      answer: schemas.revocation,
      may: one,
      conditional: true,
    }),
    async (request, reply) => {
      const sha256 = await certificateAsSeen(options, request, reply);
      if (sha256 === undefined) return reply;
      return sendOutcome(options, reply, await acts.revokeCertificate(sha256, request.body.reason));
    },
  );

  const summaries = {
    hold: 'Refuse a certificate until it is reinstated',
    reinstate: 'Take a hold back',
  } as const;
  for (const act of ['hold', 'reinstate'] as const) {
    app.post<CertificateRoute & Act>(
      `/certificates/:sha256/${act}`,
      described(`${act}Certificate`, 'certificates', summaries[act], {
        params,
        body: schemas.reason,
        answer: schemas.changedCertificate,
        // What gives power back is an operator's.
        may: act === 'hold' ? one : many,
        conditional: true,
      }),
      async (request, reply) => {
        const sha256 = await certificateAsSeen(options, request, reply);
        if (sha256 === undefined) return reply;
        const outcome = await acts[act](sha256, request.body.reason);
        if (isRefusal(outcome)) return sendOutcome(options, reply, outcome);
        const certificate = await options.devices.certificate(sha256);
        if (certificate === undefined) return missing(options, reply, 'unknown-certificate');
        const document = certificateDocument(certificate);
        sendCurrent(request, reply, document);
        return { ...document, ...outcome };
      },
    );
  }
}

/** A step a request: whoever orders asks again with `next` as `after` until there is none. */
function statusOrderRoute(app: FastifyInstance, options: ResourceOptions): void {
  const { acts } = options;
  app.post(
    '/status/orders',
    described(
      'orderStatus',
      'devices',
      'Revoke, hold or reinstate what has something in common, step by step',
      {
        body: schemas.statusOrder,
        answer: schemas.statusStep,
        may: many,
        bodyLimit: namedBytes,
      },
    ),
    async ({ body }, reply) => {
      const fields = new Fields(body);
      const order = { ...readStatusOrder(fields), dryRun: fields.flag('dryRun') };
      const after = fields.optionalText('after');
      const step = await acts.statusStep(order, after, readApproval(fields));
      return sendOutcome(options, reply, step);
    },
  );
}

function manifestRoute(app: FastifyInstance, options: ResourceOptions): void {
  const { acts } = options;
  app.post(
    '/manifests/pull',
    described('pullManifests', 'orders', 'Know the elements of closed batches at once', {
      body: schemas.nothing,
      answer: schemas.nothing,
      may: many,
    }),
    async (_request, reply) => {
      const refusal = await acts.pullManifests();
      return sendOutcome(options, reply, refusal ?? {});
    },
  );
}

async function sendCertificate(
  options: ResourceOptions,
  request: FastifyRequest<CertificateRoute>,
  reply: FastifyReply,
): Promise<object> {
  const certificate = await options.devices.certificate(fromHex(request.params.sha256));
  if (certificate === undefined) return missing(options, reply, 'unknown-certificate');
  return sendCurrent(request, reply, certificateDocument(certificate));
}

const ofDevices: readonly CertificateKind[] = ['idevid', 'ldevid'];

/** Of the certificate that an act may go on with; otherwise the refusal has been sent. */
async function certificateAsSeen(
  options: ResourceOptions,
  request: FastifyRequest<CertificateRoute>,
  reply: FastifyReply,
): Promise<Uint8Array | undefined> {
  const { devices, onRefusal, isLimited } = options;
  const certificate = await devices.certificate(fromHex(request.params.sha256));
  if (certificate === undefined) {
    missing(options, reply, 'unknown-certificate');
    return undefined;
  }
  if (!ofDevices.includes(certificate.kind) && isLimited?.(request) === true) {
    onRefusal('wrong-role');
    const detail = 'Certificates of stations, servers and people are a matter of operators.';
    sendProblem(reply, { status: 403, code: 'wrong-role', detail });
    return undefined;
  }
  const document = certificateDocument(certificate);
  return isAsSeen(request, reply, document, onRefusal) ? certificate.sha256 : undefined;
}

async function wholeDevice(
  { devices, clones }: ResourceOptions,
  device: DeviceRecord,
): Promise<object> {
  const certificates = await devices.certificatesOf(device.deviceId);
  const evidence = await clones.evidenceOf(device.deviceId);
  return {
    ...deviceDocument(device),
    certificates: certificates.map(certificateDocument),
    cloneEvidence: evidence.map(cloneDocument),
  };
}

function sendOutcome<Value extends object>(
  { onRefusal }: ResourceOptions,
  reply: FastifyReply,
  outcome: Value | Refusal<string>,
): Value | FastifyReply {
  if (!isRefusal(outcome)) return outcome;
  onRefusal(outcome.refused);
  return sendRefusal(reply, outcome);
}

function missing({ onRefusal }: ResourceOptions, reply: FastifyReply, code: string): FastifyReply {
  onRefusal(code);
  return sendProblem(reply, { status: 404, code });
}

function idOf({ deviceId }: DeviceRecord): string {
  return deviceId;
}

function sequenceOf({ sequence }: { readonly sequence: number }): number {
  return sequence;
}
