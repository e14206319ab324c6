/** What a device finds at its door beside EST: its configuration, and a place for telemetry without a broker. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { DeviceRecord } from '../../trust/ports/registryStore.ts';
import { peerOf } from './httpDoor.ts';
import { sendProblem } from './problem.ts';

/** What a device needs to know to work for its present owner. */
export interface DeviceConfiguration {
  readonly deviceId: string;
  readonly role: 'sensor' | 'gateway';
  readonly mqtt: { readonly host: string; readonly port: number };
  /** Unix time, for devices that have no clock of their own. */
  readonly timeMs: number;
}

export interface DeviceDoorOptions {
  /** The device of a verified LDevID. */
  readonly device: (deviceId: string) => Promise<DeviceRecord | undefined>;
  readonly configurationOf: (device: DeviceRecord) => DeviceConfiguration;
  /** Resolves when the message is durable. */
  readonly onTelemetry: (deviceId: string, payload: Uint8Array) => Promise<void>;
  readonly onRefusal: (code: string) => void;
  readonly nowMs: () => number;
  /** Largest telemetry message. */
  readonly payloadBytes: number;
}

export function deviceRoutes(app: FastifyInstance, options: DeviceDoorOptions): void {
  app.addContentTypeParser(
    'application/octet-stream',
    { parseAs: 'buffer', bodyLimit: options.payloadBytes },
    (_request, body, done) => done(null, body),
  );

  app.get('/v1/configuration', async (request, reply) => {
    const device = await operational(options, request, reply);
    return device === undefined ? reply : options.configurationOf(device);
  });

  app.post('/v1/telemetry', { bodyLimit: options.payloadBytes }, async (request, reply) => {
    const device = await operational(options, request, reply);
    if (device === undefined) return reply;
    if (!(request.body instanceof Uint8Array)) {
      return sendProblem(reply, {
        status: 415,
        code: 'wrong-media-type',
        detail: 'telemetry is application/octet-stream',
      });
    }
    await options.onTelemetry(device.deviceId, new Uint8Array(request.body));
    return reply.code(204).send();
  });
}

/** The IDevID opens this door for enrolment alone. */
async function operational(
  { device, onRefusal, nowMs }: DeviceDoorOptions,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<DeviceRecord | undefined> {
  const peer = peerOf(request);
  // Past its end a certificate may be good for its renewal, and for nothing else.
  const valid = peer.kind === 'ldevid' && nowMs() <= peer.certificate.notAfterMs;
  const found = valid ? await device(peer.holder) : undefined;
  if (found !== undefined) return found;
  onRefusal('not-enrolled');
  void sendProblem(reply, {
    status: 403,
    code: 'not-enrolled',
    detail: 'an operational certificate is needed: enrol first',
  });
  return undefined;
}
