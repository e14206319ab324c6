/** What stands behind each HTTP door. */
import type { FastifyInstance } from 'fastify';
import { nodeCrypto } from '../../drivers/keys/software/nodeCrypto.ts';
import type { SoftwareVerifier } from '../../drivers/keys/software/verifier.ts';
import { ApprovalClient } from '../../drivers/links/local/approvalClient.ts';
import { apiRoutes } from '../../servers/http/api.ts';
import type { RateLimit } from '../../servers/http/apiDescription.ts';
import { admitCallers } from '../../servers/http/callers.ts';
import { channelBindingOf } from '../../servers/http/channelBinding.ts';
import { deviceRoutes } from '../../servers/http/deviceDoor.ts';
import { type EstOptions, estRoutes } from '../../servers/http/est.ts';
import { peerOf } from '../../servers/http/httpDoor.ts';
import { operatorVerifier } from '../../servers/http/operators.ts';
import type { Metrics } from '../../servers/http/metrics.ts';
import { stationRoutes } from '../../servers/http/stationDoor.ts';
import type { ProvisionerActs } from '../../servers/local/provisioner.ts';
import { Enrolment } from '../../trust/enrolment/enrolment.ts';
import type { AnswerStore } from '../../trust/ports/answerStore.ts';
import type { Hierarchy, ProvisioningAuthority } from '../../trust/ports/authority.ts';
import type { Clock } from '../../trust/ports/clock.ts';
import type { LineTransport } from '../../trust/ports/lineTransport.ts';
import type { ReadTokens } from '../../trust/registry/readTokens.ts';
import type { Registry } from '../../trust/registry/registry.ts';
import type { HttpDoorName } from './doors.ts';
import { EstServices } from './estServices.ts';
import type { TelemetryIntake } from './telemetryIntake.ts';

/** What EST needs. */
export interface EnrolmentParts {
  readonly owner: string;
  readonly registry: Registry;
  readonly authority: ProvisioningAuthority;
  readonly verifier: SoftwareVerifier;
  readonly hierarchy: () => Hierarchy;
  /** Names of those that enrolment gives. */
  readonly deviceProfiles: () => ReadonlySet<string>;
  readonly metrics: Metrics;
}

export interface RouteOptions {
  readonly est: Omit<EstOptions, 'peerOf'>;
  readonly registry: Registry;
  readonly intake: TelemetryIntake;
  readonly authority: ProvisioningAuthority;
  readonly verifier: SoftwareVerifier;
  readonly tokens: ReadTokens;
  readonly metrics: Metrics;
  readonly clock: Clock;
  /** Where devices find the broker. */
  readonly broker: () => { readonly host: string; readonly port: number };
  /** What the local door has too. */
  readonly acts: Pick<ProvisionerActs, 'resources' | 'clients'>;
  readonly answers: AnswerStore;
  readonly apiRate?: RateLimit | undefined;
  /** A station has closed a ticket: a manifest may be waiting. */
  readonly onTicketClosed: () => Promise<void>;
}

/** Largest telemetry message over HTTPS, as the broker takes it. */
const payloadBytes = 32 * 1024;

export function doorRoutes(
  options: RouteOptions,
): Record<HttpDoorName, (app: FastifyInstance) => void> {
  const { tokens, metrics, answers, clock, authority, verifier } = options;
  const operators = new ApprovalClient(authority);
  return {
    device: (app) => deviceDoor(app, options),
    station: (app) =>
      stationRoutes(app, {
        authority: closingTransport(options),
        onRefusal: (code) => metrics.refused('station', code),
      }),
    api: (app) => {
      const onRefusal = (code: string): void => metrics.refused('api', code);
      admitCallers(app, {
        verifyToken: (token) => tokens.verify(token),
        verifyOperator: operatorVerifier({
          operators: () => operators.operators(),
          verifier,
          clock,
        }),
        isSingleOperator: async () => (await authority.soleChangesLeft()) === undefined,
        onRefusal,
      });
      apiRoutes(app, {
        ...options.acts.resources,
        clients: options.acts.clients,
        authority,
        answers,
        clock,
        rate: options.apiRate,
        metrics,
        onRefusal,
      });
    },
  };
}

/** EST as both doors have it that offer it; a device is served by one request at a time over both. */
export function estOptions(options: EnrolmentParts): Omit<EstOptions, 'peerOf'> {
  const { registry, authority, verifier, hierarchy, deviceProfiles, metrics, owner } = options;
  const sha256 = (data: Uint8Array): Uint8Array => nodeCrypto.hash('SHA-256', data);
  return {
    enrolment: new Enrolment({ registry, authority, verifier, sha256, owner }),
    services: new EstServices({ hierarchy, deviceProfiles }),
    channelBindingOf,
    onRefusal: (code) => metrics.refused('est', code),
    onEnrolled: () => metrics.enrolled(),
  };
}

function deviceDoor(app: FastifyInstance, options: RouteOptions): void {
  const { registry, metrics, clock, broker, intake } = options;
  const onRefusal = (code: string): void => metrics.refused('device', code);
  estRoutes(app, { ...options.est, peerOf, onRefusal });
  deviceRoutes(app, {
    device: (deviceId) => registry.device(deviceId),
    configurationOf: ({ deviceId, role }) => ({
      deviceId,
      role,
      mqtt: broker(),
      timeMs: clock.nowMs(),
    }),
    onTelemetry: (deviceId, payload) => intake.take(deviceId, 'https', payload),
    onRefusal,
    nowMs: () => clock.nowMs(),
    payloadBytes,
  });
}

/** After a close the manifest is imported before the station hears of it: its devices can enrol then. */
function closingTransport({ authority, onTicketClosed }: RouteOptions): LineTransport {
  return {
    post: async (step, message) => {
      const answer = await authority.post(step, message);
      if (step === 'close') await onTicketClosed();
      return answer;
    },
  };
}
