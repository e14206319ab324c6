/** Devices that enrol over EST, in a thread of their own: as little HTTP as they need, so that the server is measured. */
import { generateKeyPairSync, sign } from 'node:crypto';
import { once } from 'node:events';
import { connect, createSecureContext, type SecureContext, type TLSSocket } from 'node:tls';
import { parentPort, workerData } from 'node:worker_threads';
import { encodeBody } from '../../src/wire/est/body.ts';
import { prepareCertificationRequest } from '../../src/wire/x509/certificationRequest.ts';
import { encodeName } from '../../src/wire/x509/names.ts';

export interface EstTask {
  readonly port: number;
  readonly anchorPem: string;
  readonly devices: ReadonlyArray<{
    readonly deviceId: string;
    readonly privateKeyPem: string;
    readonly chainPem: string;
  }>;
  /** Connections that are being made at once. */
  readonly together: number;
  /** The first half is not counted: neither side has run for long then. */
  readonly kept: {
    readonly connections: number;
    /** Of them at once. */
    readonly together: number;
    /** On each: the first certificate and one renewal, which end none. */
    readonly enrolments: number;
    /** Each ends the certificate before the last one. */
    readonly renewals: number;
  };
}

export interface Timing {
  readonly count: number;
  readonly ms: number;
  readonly p50Ms: number;
  /** Of the whole process, for each. */
  readonly cpuMicros: number;
}

export interface EstReport {
  readonly handshakes: Timing;
  readonly fresh: Timing;
  readonly kept: Timing;
  readonly renewed: Timing;
}

interface Device {
  readonly context: SecureContext;
}

/** Connections of each lane before those that count. */
const freshWarmUp = 4;

async function enrolAll(task: EstTask): Promise<EstReport> {
  const devices = task.devices.map(({ privateKeyPem, chainPem }): Device => ({
    context: createSecureContext({ key: privateKeyPem, cert: chainPem, ca: task.anchorPem }),
  }));
  // Keys are made before anything is measured: an element has its own before it is switched on.
  const requests = Array.from({ length: devices.length }, newRequest);
  const enrol = async (index: number): Promise<void> => {
    const socket = await open(task, devices[index]);
    await post(socket, requests[index] ?? Buffer.alloc(0));
    socket.destroy();
  };
  const { connections, together, enrolments, renewals } = task.kept;
  const sockets: TLSSocket[] = [];
  await inTurns(connections, task.together, async (index) => {
    sockets[index] = await open(task, devices[index]);
  });
  // A device renews with a new key each time.
  const more = Array.from({ length: connections * enrolments + together * renewals }, newRequest);
  const again = async (index: number): Promise<void> => {
    const socket = sockets[index];
    if (socket === undefined) throw new Error('no connection');
    await post(socket, more.pop() ?? Buffer.alloc(0));
  };
  const half = connections >> 1;
  await timed(half * enrolments, together, (index) => again(index % half));
  const kept = await timed(half * enrolments, together, (index) => again(half + (index % half)));
  const renewed = await timed(together * renewals, together, (index) => again(index % together));
  for (const socket of sockets) socket.destroy();
  // Devices of their own: those above have certificates by now.
  const first = connections + task.together * freshWarmUp;
  await timed(first - connections, task.together, (index) => enrol(index + connections));
  const others = devices.length - first;
  const fresh = await timed(others, task.together, (index) => enrol(index + first));
  const handshakes = await timed(others, task.together, async (index) => {
    (await open(task, devices[index + first])).destroy();
  });
  return { handshakes, fresh, kept, renewed };
}

function newRequest(): Buffer {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const spki = new Uint8Array(publicKey.export({ format: 'der', type: 'spki' }));
  const request = prepareCertificationRequest({ subject: encodeName(), spki });
  const signature = new Uint8Array(sign('sha256', request.toBeSigned, privateKey));
  const body = encodeBody(request.finish('ecdsa-with-SHA256', signature));
  const head = [
    'POST /.well-known/est/simpleenroll HTTP/1.1',
    'host: localhost',
    'content-type: application/pkcs10',
    `content-length: ${body.length}`,
  ].join('\r\n');
  return Buffer.concat([Buffer.from(`${head}\r\n\r\n`), body]);
}

async function open({ port }: EstTask, device: Device | undefined): Promise<TLSSocket> {
  if (device === undefined) throw new Error('no device');
  const socket = connect({
    host: '127.0.0.1',
    servername: 'localhost',
    port,
    secureContext: device.context,
  });
  await once(socket, 'secureConnect');
  return socket;
}

/** Resolves with a whole answer of status 200. */
function post(socket: TLSSocket, request: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    let answer = '';
    const onData = (data: Buffer): void => {
      answer += data.toString('latin1');
      const end = answer.indexOf('\r\n\r\n');
      if (end < 0) return;
      const length = Number(/content-length: (\d+)/i.exec(answer)?.[1]);
      if (answer.length < end + 4 + length) return;
      socket.off('data', onData).off('close', onClose);
      if (answer.startsWith('HTTP/1.1 200')) resolve();
      else reject(new Error(answer));
    };
    const onClose = (): void => reject(new Error('hung up on'));
    socket.on('data', onData).on('close', onClose);
    socket.write(request);
  });
}

async function timed(
  count: number,
  together: number,
  act: (index: number) => Promise<void>,
): Promise<Timing> {
  const times: number[] = [];
  const before = process.cpuUsage();
  const startMs = performance.now();
  await inTurns(count, together, async (index) => {
    const oneMs = performance.now();
    await act(index);
    times.push(performance.now() - oneMs);
  });
  const ms = performance.now() - startMs;
  const { user, system } = process.cpuUsage(before);
  const sorted = times.toSorted((left, right) => left - right);
  return { count, ms, p50Ms: sorted[count >> 1] ?? 0, cpuMicros: (user + system) / count };
}

/** `together` at once; the same lane has the same remainder, so that a connection has one request at a time. */
async function inTurns(
  count: number,
  together: number,
  act: (index: number) => Promise<void>,
): Promise<void> {
  const lane = async (first: number): Promise<void> => {
    for (let index = first; index < count; index += together) await act(index);
  };
  await Promise.all(Array.from({ length: together }, (_, first) => lane(first)));
}

enrolAll(workerData as EstTask).then(
  (report) => parentPort?.postMessage(report, []),
  (error: unknown) => {
    throw error;
  },
);
