/** `birthmark sensor`: a sensor on this machine, from first power-on to telemetry. */
import { type Command, Option } from 'commander';
import type { SessionEnrollerEvent } from '../../../device/enrolment/sessionEnroller.ts';
import type { IpDeviceEvent } from '../../../device/enrolment/ipDevice.ts';
import type { RenewalPolicy } from '../../../device/sessions/renewal.ts';
import type { SensorEvent } from '../../../device/sessions/sensorOptions.ts';
import { utf8 } from '../../../wire/bytes/utf8.ts';
import { codeText } from '../../../wire/coap/codes.ts';
import { startIpSensor } from '../../device/ipSensor.ts';
import { type NonIpSensorConfig, startNonIpSensor } from '../../device/nonIpSensor.ts';
import { readPassphrase } from '../../passphrase.ts';
import { addressOf, DeviceRun, positive } from '../deviceRun.ts';
import { CommandFailure, exitCodes, type OutputOptions } from '../terminal.ts';

interface SensorRunOptions extends OutputOptions {
  readonly kind: string;
  readonly element: string;
  readonly state?: string;
  readonly server?: string;
  readonly radio?: string;
  readonly maxFrame: number;
  readonly interval: number;
  readonly count?: number;
  readonly payload: string;
  readonly confirmEvery: number;
  readonly renewEvery?: number;
  readonly renewBy?: string;
  readonly trust: 'pinned' | 'chain' | 'fresh';
  readonly enrol?: 'native' | 'c509' | 'x509';
  readonly retry?: number;
  readonly https?: boolean;
}

export function registerSensor(program: Command): void {
  const sensor = program.command('sensor').description('A sensor, real but for its element');
  sensor
    .command('run')
    .description('Switch a sensor on and let it send telemetry until it is stopped')
    .requiredOption('--kind <ip|non-ip>', 'ip: TLS with the server; non-ip: EDHOC over a radio')
    .requiredOption('--element <file>', 'its secure element')
    .option('--state <file>', 'its memory (default: beside the element)')
    .option('--server <host:port>', 'ip: the device door of its server')
    .option('--https', 'ip: post telemetry to the device door in place of MQTT')
    .option('--radio <host:port>', 'non-ip: the modem of its radio, over UDP')
    .option('--max-frame <bytes>', 'non-ip: longest frame of the radio', positive, 51)
    .option('--confirm-every <n>', 'non-ip: ask for an answer every n messages', positive, 1)
    .option('--renew-every <n>', 'non-ip: new keys after so many messages', positive)
    .option(
      '--renew-by <way>',
      'non-ip: update (no bytes), resumption (fresh Diffie-Hellman) or handshake (long-term keys)',
    )
    .addOption(
      new Option(
        '--trust <way>',
        'non-ip: know the server by what the element was given at birth, by its C509 chain, or by that and a fresh status in every handshake',
      )
        .choices(['pinned', 'chain', 'fresh'])
        .default('pinned'),
    )
    .addOption(
      new Option(
        '--enrol <form>',
        'non-ip: fetch an operational certificate through the session, and renew it: C509 signed natively or re-encoded, or X.509',
      ).choices(['native', 'c509', 'x509']),
    )
    .option('--interval <ms>', 'between two messages', positive, 5000)
    .option('--count <n>', 'stop when so many messages arrived', positive)
    .option('--payload <text>', 'what to send; {n} counts, {t} is a temperature', 't={t} n={n}')
    .option('--retry <ms>', 'first pause before something is tried again', positive)
    .option('--json', 'events as JSON lines on stdout')
    .addHelpText(
      'after',
      `
Examples:
  birthmark sensor run --kind ip --element reel-7/01.element --server iot.example:8443
  birthmark sensor run --kind non-ip --element reel-7/02.element --radio 127.0.0.1:1700 --count 10 --json
  birthmark sensor run --kind non-ip --element reel-7/02.element --radio 127.0.0.1:1700 --renew-every 5 --renew-by resumption
  birthmark sensor run --kind non-ip --element reel-7/02.element --radio 127.0.0.1:1700 --trust fresh

A sensor that was killed is started again with the same words and goes on where it was. The exit code is
0 when it was stopped or has sent --count messages, 3 when it cannot go on.`,
    )
    .action(run);
}

async function run(options: SensorRunOptions): Promise<void> {
  if (options.kind === 'ip') await runIp(options);
  else if (options.kind === 'non-ip') await runNonIp(options);
  else throw new CommandFailure('--kind is ip or non-ip', exitCodes.usage);
}

async function runIp(options: SensorRunOptions): Promise<void> {
  const server = addressOf('--server', options.server);
  const passphrase = await readPassphrase();
  const run = new DeviceRun<IpDeviceEvent>(options, (event) => describeIp(event));
  const sensor = await startIpSensor({
    elementFile: options.element,
    passphrase,
    stateFile: options.state,
    server,
    options: {
      telemetryBy: options.https === true ? 'https' : 'mqtts',
      ...(options.retry === undefined
        ? {}
        : { retry: { firstMs: options.retry, longestMs: options.retry * 30 } }),
    },
    onEvent: (event) => run.take(event),
  });
  const link = options.https === true ? 'https' : 'mqtts';
  run.begin({ kind: 'ip-sensor', link, deviceId: sensor.device.deviceId });
  await run.whileRunning((payload) => sensor.device.submit(utf8(payload)));
  await sensor.close();
  run.end();
}

async function runNonIp(options: SensorRunOptions): Promise<void> {
  const modem = addressOf('--radio', options.radio);
  const passphrase = await readPassphrase();
  const run = new DeviceRun<SensorEvent>(options, (event) => describeNonIp(event));
  const { retry, confirmEvery } = options;
  const sensor = await startNonIpSensor({
    elementFile: options.element,
    passphrase,
    stateFile: options.state,
    modem,
    maximumFrameBytes: options.maxFrame,
    trust: options.trust,
    options: {
      confirmEvery,
      ...renewalOf(options),
      ...(retry === undefined
        ? {}
        : {
            retransmission: { firstMs: retry, longestMs: retry * 30 },
            rest: { firstMs: retry * 4, longestMs: retry * 120 },
          }),
    },
    onEvent: (event) => run.take(event),
    ...enrolmentOf(options, run),
  });
  run.begin({ kind: 'non-ip-sensor', link: 'radio', deviceId: sensor.deviceId });
  await run.whileRunning((payload) => sensor.sensor.submit(utf8(payload)));
  await sensor.close();
  run.end();
}

function enrolmentOf(
  { enrol: form }: SensorRunOptions,
  run: DeviceRun<SensorEvent>,
): Pick<NonIpSensorConfig, 'enrolment'> {
  if (form === undefined) return {};
  const onEvent = (event: SessionEnrollerEvent): void => {
    const { kind, ...members } = event;
    run.print({ event: `enrolment-${kind}`, ...members }, describeEnrolment(event));
  };
  return { enrolment: { options: { form }, onEvent } };
}

/** Without `--renew-by` a sensor goes through all three ways, the cheapest first. */
function renewalOf({ renewEvery, renewBy }: SensorRunOptions): Partial<RenewalPolicy> {
  const every = renewEvery === undefined ? {} : { renewEvery };
  switch (renewBy) {
    case undefined:
      return every;
    case 'update':
      return { ...every, updatesPerHandshake: Number.MAX_SAFE_INTEGER };
    case 'resumption':
      return { ...every, updatesPerHandshake: 0, resumptionsPerHandshake: Number.MAX_SAFE_INTEGER };
    case 'handshake':
      return { ...every, updatesPerHandshake: 0, resumptionsPerHandshake: 0 };
    default:
      throw new CommandFailure('--renew-by is update, resumption or handshake', exitCodes.usage);
  }
}

export function describeIp(event: IpDeviceEvent): string | undefined {
  switch (event.kind) {
    case 'enrolled':
      return 'enrolled: the LDevID is in the element';
    case 'configured':
      return `configured as ${event.role}`;
    case 'online':
      return 'connected to the broker';
    case 'offline':
      return 'connection to the broker lost';
    case 'message':
      return `command of ${event.payload.length} bytes`;
    case 'waiting':
      return `${event.reason}; again in ${(event.pauseMs / 1000).toFixed(1)} s`;
    case 'telemetry-dropped':
      return 'telemetry dropped: too much is waiting';
    case 'failed':
    case 'telemetry':
      return undefined;
  }
}

function describeNonIp(event: SensorEvent): string | undefined {
  switch (event.kind) {
    case 'sent':
      return event.attempt === 0 ? `${event.what} sent` : `${event.what} sent again`;
    case 'session':
      return `session: ${event.resumed ? 'resumption' : 'handshake'} of ${event.handshakeBytes.join(' + ')} bytes`;
    case 'keys-updated':
      return `keys updated: epoch ${event.epoch}`;
    case 'renewal-failed':
      return `renewal by ${event.by} failed: ${event.reason}`;
    case 'resting':
      return `${event.reason}; again in ${(event.pauseMs / 1000).toFixed(1)} s`;
    case 'telemetry-dropped':
      return `telemetry dropped: ${event.reason}`;
    case 'ignored':
    case 'fault':
    case 'telemetry':
      return undefined;
  }
}

function describeEnrolment(event: SessionEnrollerEvent): string | undefined {
  switch (event.kind) {
    case 'enrolled':
      return `${event.again ? 'renewed' : 'enrolled'}: an LDevID of ${event.certificateBytes} bytes`;
    case 'in-force':
      return undefined;
    case 'later':
      return `enrolment: again in ${event.retryAfterMs / 1000} s`;
    case 'refused':
      return `enrolment refused: ${codeText(event.code)}`;
    case 'unacceptable':
      return `the certificate is unacceptable: ${event.fault}`;
    case 'interrupted':
      return `enrolment interrupted: ${event.reason}`;
    case 'failed':
      return 'enrolment failed for good';
  }
}
