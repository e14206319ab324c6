/** `birthmark gateway`: a gateway on this machine, between a radio and its server. */
import type { Command } from 'commander';
import type { IpDeviceEvent } from '../../../device/enrolment/ipDevice.ts';
import { toHex } from '../../../wire/bytes/hex.ts';
import { utf8 } from '../../../wire/bytes/utf8.ts';
import { startGateway } from '../../gateway/gateway.ts';
import { readPassphrase } from '../../passphrase.ts';
import { addressOf, DeviceRun, positive } from '../deviceRun.ts';
import type { OutputOptions } from '../terminal.ts';
import { describeIp } from './sensor.ts';

interface GatewayRunOptions extends OutputOptions {
  readonly element: string;
  readonly state?: string;
  readonly server: string;
  readonly radio: string;
  readonly maxFrame: number;
  readonly interval: number;
  readonly count?: number;
  readonly retry?: number;
  readonly showFrames?: boolean;
}

export function registerGateway(program: Command): void {
  const gateway = program
    .command('gateway')
    .description('Carries frames between a radio and the server, unread');
  gateway
    .command('run')
    .description('Switch a gateway on and let it work until it is stopped')
    .requiredOption('--element <file>', 'its secure element')
    .requiredOption('--server <host:port>', 'the device door of its server')
    .requiredOption('--radio <host:port>', 'the packet forwarder of its radio, over UDP')
    .option('--state <file>', 'its memory (default: beside the element)')
    .option('--max-frame <bytes>', 'longest frame of the radio', positive, 51)
    .option('--interval <ms>', 'between two messages about itself', positive, 5000)
    .option('--count <n>', 'stop when so many of them arrived', positive)
    .option('--retry <ms>', 'first pause before something is tried again', positive)
    .option('--show-frames', 'an event for every frame that it carries: all that it knows of it')
    .option('--json', 'events as JSON lines on stdout')
    .addHelpText(
      'after',
      `
Example:
  birthmark gateway run --element reel-7/00.element --server iot.example:8443 --radio 127.0.0.1:1700

The exit code is 0 when it was stopped, 3 when it cannot go on.`,
    )
    .action(run);
}

async function run(options: GatewayRunOptions): Promise<void> {
  const server = addressOf('--server', options.server);
  const radio = addressOf('--radio', options.radio);
  const passphrase = await readPassphrase();
  const { retry } = options;
  const run = new DeviceRun<IpDeviceEvent>({ ...options, payload: 'gateway n={n}' }, (event) =>
    describeIp(event),
  );
  const gateway = await startGateway({
    elementFile: options.element,
    passphrase,
    stateFile: options.state,
    server,
    radio,
    maximumFrameBytes: options.maxFrame,
    ...(retry === undefined
      ? {}
      : { options: { retry: { firstMs: retry, longestMs: retry * 30 } } }),
    onEvent: (event) => run.take(event),
    ...(options.showFrames === true
      ? {
          onFrame: (direction: 'up' | 'down', linkAddress: Uint8Array, frame: Uint8Array) => {
            const seen = { direction, linkAddress: toHex(linkAddress), frame: toHex(frame) };
            const line = `${direction.padEnd(4)} ${seen.linkAddress} ${seen.frame}`;
            run.print({ event: 'frame', ...seen }, line);
          },
        }
      : {}),
  });
  run.begin({ kind: 'gateway', link: 'mqtts', deviceId: gateway.device.deviceId });
  await run.whileRunning((payload) => gateway.device.submit(utf8(payload)));
  await gateway.close();
  run.print(
    { event: 'carried', ...gateway.counts },
    `${gateway.counts.up} frames up, ${gateway.counts.down} down`,
  );
  run.end();
}
