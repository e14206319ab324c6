/** The API of applications and operators: devices, their certificates and telemetry, revocation, metrics. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { AnswerStore } from '../../trust/ports/answerStore.ts';
import type { CloneStore } from '../../trust/ports/cloneStore.ts';
import type { Clock } from '../../trust/ports/clock.ts';
import { isRefusal, type Refusal } from '../../trust/ports/faults.ts';
import type {
  CertificateRecord,
  DevicePage,
  DeviceRecord,
} from '../../trust/ports/registryStore.ts';
import type { RevocationReport } from '../../trust/ports/revocationReport.ts';
import type { TelemetryStore } from '../../trust/ports/telemetryStore.ts';
import { fromHex } from '../../wire/bytes/hex.ts';
import {
  apiRate,
  describeApi,
  descriptionOf,
  judgeBySchema,
  limitRate,
  type RateLimit,
} from './apiDescription.ts';
import {
  certificateDocument,
  cloneDocument,
  deviceDocument,
  messageDocument,
} from './apiDocuments.ts';
import { actHeaders, parameters, problems, queries, schemas } from './apiSchemas.ts';
import { isAsSeen, sendCurrent } from './conditions.ts';
import type { Metrics } from './metrics.ts';
import { sendProblem, sendRefusal } from './problem.ts';
import { keepAnswers } from './repeats.ts';

type Outcome<Value> = Promise<Value | Refusal<string>>;

export interface ApiOptions {
  readonly devices: {
    device(deviceId: string): Promise<DeviceRecord | undefined>;
    devices(page: DevicePage): Promise<readonly DeviceRecord[]>;
    certificate(sha256: Uint8Array): Promise<CertificateRecord | undefined>;
    certificatesOf(holder: string): Promise<readonly CertificateRecord[]>;
  };
  readonly clones: Pick<CloneStore, 'evidenceOf'>;
  readonly telemetry: Pick<TelemetryStore, 'latest'>;
  readonly acts: {
    readonly revokeDevice: (deviceId: string, reason: string) => Outcome<RevocationReport>;
    readonly revokeCertificate: (sha256: Uint8Array, reason: string) => Outcome<RevocationReport>;
    readonly hold: (sha256: Uint8Array, reason: string) => Outcome<undefined>;
    readonly reinstate: (sha256: Uint8Array, reason: string) => Outcome<undefined>;
  };
  /** Who asks, in a form that no two callers share. */
  readonly callerOf: (request: FastifyRequest) => string;
  readonly answers: AnswerStore;
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly onRefusal: (code: string) => void;
  readonly rate?: RateLimit | undefined;
}

export const apiPrefix = '/api/v1';

export function apiRoutes(app: FastifyInstance, options: ApiOptions): void {
  app.register(
    async (api) => {
      judgeBySchema(api);
      await describeApi(api);
      await limitRate(api, options.rate ?? apiRate, options.callerOf);
      keepAnswers(api, options);
      deviceRoutes(api, options);
      telemetryRoute(api, options);
      certificateRoutes(api, options);
      api.get('/openapi.json', { schema: { hide: true } }, () => descriptionOf(api));
    },
    { prefix: apiPrefix },
  );
  app.get('/metrics', async (_request, reply) =>
    reply.type(options.metrics.contentType).send(await options.metrics.text()),
  );
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

function deviceRoutes(app: FastifyInstance, options: ApiOptions): void {
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
    }),
    async (request, reply) => {
      const device = await devices.device(request.params.deviceId);
      if (device === undefined) return missing(options, reply, 'unknown-device');
      if (!isAsSeen(request, reply, await wholeDevice(options, device), onRefusal)) return reply;
      return sendOutcome(reply, await acts.revokeDevice(device.deviceId, request.body.reason));
    },
  );
}

function telemetryRoute(app: FastifyInstance, options: ApiOptions): void {
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

function certificateRoutes(app: FastifyInstance, options: ApiOptions): void {
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
    }),
    async (request, reply) => {
      const sha256 = await certificateAsSeen(options, request, reply);
      if (sha256 === undefined) return reply;
      return sendOutcome(reply, await acts.revokeCertificate(sha256, request.body.reason));
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
        answer: schemas.certificate,
      }),
      async (request, reply) => {
        const sha256 = await certificateAsSeen(options, request, reply);
        if (sha256 === undefined) return reply;
        const refusal = await acts[act](sha256, request.body.reason);
        if (refusal !== undefined) return sendRefusal(reply, refusal);
        return sendCertificate(options, request, reply);
      },
    );
  }
}

async function sendCertificate(
  options: ApiOptions,
  request: FastifyRequest<CertificateRoute>,
  reply: FastifyReply,
): Promise<object> {
  const certificate = await options.devices.certificate(fromHex(request.params.sha256));
  if (certificate === undefined) return missing(options, reply, 'unknown-certificate');
  return sendCurrent(request, reply, certificateDocument(certificate));
}

/** Of the certificate that an act may go on with; otherwise the refusal has been sent. */
async function certificateAsSeen(
  options: ApiOptions,
  request: FastifyRequest<CertificateRoute>,
  reply: FastifyReply,
): Promise<Uint8Array | undefined> {
  const { devices, onRefusal } = options;
  const certificate = await devices.certificate(fromHex(request.params.sha256));
  if (certificate === undefined) {
    missing(options, reply, 'unknown-certificate');
    return undefined;
  }
  const document = certificateDocument(certificate);
  return isAsSeen(request, reply, document, onRefusal) ? certificate.sha256 : undefined;
}

interface RouteSchemas {
  readonly params?: object;
  readonly querystring?: object;
  readonly body?: object;
  readonly answer: object;
}

/** A route with a body is an act: conditional, and safe to send again. */
function described(
  operationId: string,
  tag: string,
  summary: string,
  { answer, ...request }: RouteSchemas,
) {
  return {
    schema: {
      operationId,
      tags: [tag],
      summary,
      ...request,
      ...('body' in request ? { headers: actHeaders } : {}),
      response: { 200: { description: summary, ...answer }, ...problems },
    },
  };
}

async function wholeDevice({ devices, clones }: ApiOptions, device: DeviceRecord): Promise<object> {
  const certificates = await devices.certificatesOf(device.deviceId);
  const evidence = await clones.evidenceOf(device.deviceId);
  return {
    ...deviceDocument(device),
    certificates: certificates.map(certificateDocument),
    cloneEvidence: evidence.map(cloneDocument),
  };
}

function sendOutcome(
  reply: FastifyReply,
  outcome: RevocationReport | Refusal<string>,
): RevocationReport | FastifyReply {
  return isRefusal(outcome) ? sendRefusal(reply, outcome) : outcome;
}

function missing({ onRefusal }: ApiOptions, reply: FastifyReply, code: string): FastifyReply {
  onRefusal(code);
  return sendProblem(reply, { status: 404, code });
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

function sequenceOf({ sequence }: { readonly sequence: number }): number {
  return sequence;
}
