/** Steps 4 and 5: devices switch on with nothing but their element. */
import type { Application } from './application.ts';
import type { Finished } from './birth.ts';
import { check, type Demo, inFolder, type Server } from './demo.ts';
import { type Event, numberOf, type Running, start, startAir, textOf, words } from './processes.ts';
import type { DeviceReport } from './report.ts';

export interface LiveDevice {
  readonly element: Finished;
  readonly process: Running;
  readonly report: DeviceReport;
}

export interface Air {
  readonly process: Running;
  readonly sensorPort: number;
  readonly gatewayPort: number;
}

/** Readings that a device must deliver before it counts as working. */
const enough = 3;
const intervalMs = 250;

/** 51-byte frames; one in eight lost, one in twelve doubled, one in eight out of order. */
export async function openAir(demo: Demo): Promise<Air> {
  const process = startAir(
    demo.environment,
    words`--seed 7 --drop 0.12 --duplicate 0.08 --reorder 0.12`,
  );
  const listening = await process.event((event) => event['event'] === 'listening');
  return {
    process,
    sensorPort: numberOf(listening, 'sensorPort'),
    gatewayPort: numberOf(listening, 'gatewayPort'),
  };
}

export async function switchOnGateway(
  demo: Demo,
  server: Server,
  element: Finished,
  air: Air,
  application: Application,
): Promise<LiveDevice> {
  const switchedOnMs = performance.now();
  const process = start(
    demo.environment,
    words`gateway run --element ${element.file} --state ${stateFile(demo, element)}
      --server localhost:${server.device} --radio 127.0.0.1:${air.gatewayPort}
      --interval ${intervalMs} --retry 100 --show-frames --json`,
  );
  return watch(
    demo,
    { element, process, kind: 'gateway', link: 'mqtts', switchedOnMs },
    application,
  );
}

export async function switchOnIpSensor(
  demo: Demo,
  server: Server,
  element: Finished,
  application: Application,
): Promise<LiveDevice> {
  const switchedOnMs = performance.now();
  const process = startIpSensor(demo, server, element, stateFile(demo, element));
  const link = 'mqtts';
  return watch(demo, { element, process, kind: 'ip-sensor', link, switchedOnMs }, application);
}

export function startIpSensor(
  demo: Demo,
  server: Server,
  element: Finished,
  state: string,
): Running {
  return start(
    demo.environment,
    words`sensor run --kind ip --element ${element.file} --state ${state}
      --server localhost:${server.device} --interval ${intervalMs} --retry 100 --json`,
  );
}

/**
 * A second radio sensor, which knows the server by the anchor in its element: the certificate of the session
 * server by value in message_2, in frames of 51 bytes, and the authority's word about it.
 */
export async function switchOnChainSensor(
  demo: Demo,
  element: Finished,
  air: Air,
  application: Application,
): Promise<LiveDevice> {
  const switchedOnMs = performance.now();
  const process = startRadioSensor(demo, element, air, stateFile(demo, element), 'fresh');
  const session = await process.event((event) => event['event'] === 'session');
  const handshakeBytes = sizesIn(session);
  const [, message2 = 0] = handshakeBytes;
  check(
    demo,
    message2 > 300,
    `the server by a C509 chain and a fresh status: ${handshakeBytes.join(' + ')} bytes, in frames of 51`,
  );
  const known = { element, process, kind: 'non-ip-sensor', link: 'radio' } as const;
  const live = await watch(demo, { ...known, switchedOnMs, handshakeBytes }, application);
  await process.stop();
  return live;
}

export async function switchOnRadioSensor(
  demo: Demo,
  element: Finished,
  air: Air,
  application: Application,
): Promise<LiveDevice> {
  const switchedOnMs = performance.now();
  const process = startRadioSensor(demo, element, air, stateFile(demo, element));
  const session = await process.event((event) => event['event'] === 'session');
  const sizes = sizesIn(session);
  check(demo, sizes.join() === '37,45,19', `EDHOC in ${sizes.join(' + ')} bytes, mutual`);
  const known = { element, process, kind: 'non-ip-sensor', link: 'radio', switchedOnMs } as const;
  const live = await watch(demo, { ...known, handshakeBytes: sizes }, application);
  await showResumption(demo, live, application);
  return live;
}

/** New keys after a few messages: a fresh Diffie-Hellman under the secret of the session before. */
async function showResumption(
  demo: Demo,
  { element, process }: LiveDevice,
  application: Application,
): Promise<void> {
  const resumed = await process.event((event) => event['resumed'] === true);
  const bytes = sizesIn(resumed);
  const arrived = application.of(element.deviceId).length;
  await application.reading(element.deviceId, arrived + 1);
  check(
    demo,
    bytes.length === 3,
    `renewed by EDHOC-PSK resumption in ${bytes.join(' + ')} bytes; telemetry goes on under the new keys`,
  );
}

function sizesIn(session: Event): readonly number[] {
  const handshakeBytes = session['handshakeBytes'];
  return Array.isArray(handshakeBytes) ? handshakeBytes.map(Number) : [];
}

export function startRadioSensor(
  demo: Demo,
  element: Finished,
  air: Air,
  state: string,
  trust: 'pinned' | 'fresh' = 'pinned',
): Running {
  return start(
    demo.environment,
    words`sensor run --kind non-ip --element ${element.file} --state ${state}
      --radio 127.0.0.1:${air.sensorPort} --interval ${intervalMs} --retry 150
      --renew-every 4 --renew-by resumption --trust ${trust} --json`,
  );
}

export function stateFile(demo: Demo, element: Finished): string {
  return inFolder(demo, `${element.deviceId}.state`);
}

interface SwitchedOn {
  readonly element: Finished;
  readonly process: Running;
  readonly kind: DeviceReport['kind'];
  readonly link: string;
  readonly switchedOnMs: number;
  readonly handshakeBytes?: readonly number[];
}

async function watch(
  demo: Demo,
  { element, process, kind, link, switchedOnMs, handshakeBytes }: SwitchedOn,
  application: Application,
): Promise<LiveDevice> {
  const first = await Promise.race([application.reading(element.deviceId), endOf(process, kind)]);
  const report: DeviceReport = {
    kind,
    link,
    deviceId: element.deviceId,
    firstTelemetryMs: Math.round(first.atMs - switchedOnMs),
    ...(handshakeBytes === undefined ? {} : { handshakeBytes }),
    telemetry: 0,
  };
  demo.report.devices.push(report);
  await application.reading(element.deviceId, enough);
  check(
    demo,
    true,
    `${kind} ${element.deviceId}: first telemetry at the application after ${report.firstTelemetryMs} ms`,
  );
  return { element, process, report };
}

async function endOf(process: Running, kind: string): Promise<never> {
  const { stderr } = await process.finished;
  throw new Error(`the ${kind} ended early: ${stderr.trim()}`);
}

/** A frame as the gateway saw it, beside what the application got of it. */
export function showFrame(demo: Demo, gateway: LiveDevice, reading: string): void {
  const frames = gateway.process.events.filter(isUpward).map((event) => textOf(event, 'frame'));
  const frame = frames.at(-1) ?? '';
  demo.narrator.say(`the gateway saw      ${frame}`);
  demo.narrator.say(`the application got  ${reading}`);
  const clear = Buffer.from('t=').toString('hex');
  check(
    demo,
    frames.length > 0 && frames.every((seen) => !seen.includes(clear)),
    `none of the ${frames.length} frames at the gateway holds a reading in clear`,
  );
}

function isUpward(event: Event): boolean {
  return event['event'] === 'frame' && event['direction'] === 'up';
}
