/**
 * The air as a program: `node sim/radio/main.ts [--seed N] [--drop P] ...`. Prints one JSON object a line:
 * `listening` with its ports, `frame` for what gateways saw when asked, `closed` with the counts.
 */
import { parseArgs } from 'node:util';
import { defaultAir } from './air.ts';
import { startUdpAir } from './udpAir.ts';

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    drop: { type: 'string', default: String(defaultAir.drop) },
    duplicate: { type: 'string', default: String(defaultAir.duplicate) },
    reorder: { type: 'string', default: String(defaultAir.reorder) },
    'max-frame': { type: 'string', default: String(defaultAir.maximumFrameBytes) },
    'sensor-port': { type: 'string', default: '0' },
    'gateway-port': { type: 'string', default: '0' },
    'show-frames': { type: 'boolean', default: false },
  },
});

const air = await startUdpAir({
  ...defaultAir,
  seed: numberOf('seed', 0xffff_ffff),
  drop: numberOf('drop', 1),
  duplicate: numberOf('duplicate', 1),
  reorder: numberOf('reorder', 1),
  maximumFrameBytes: numberOf('max-frame', 1280),
  sensorPort: numberOf('sensor-port', 0xffff),
  gatewayPort: numberOf('gateway-port', 0xffff),
  ...(values['show-frames']
    ? { onGatewayFrame: (frame: object) => print({ event: 'frame', ...frame }) }
    : {}),
});
const { sensorPort, gatewayPort } = air;
print({ event: 'listening', sensorPort, gatewayPort });

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    void air.close().then(() => print({ event: 'closed', ...air.counts }));
  });
}

function numberOf(name: Exclude<keyof typeof values, 'show-frames'>, most: number): number {
  const value = Number(values[name]);
  if (value >= 0 && value <= most) return value;
  process.stderr.write(`--${name} takes a number from 0 to ${most}\n`);
  process.exit(2);
}

function print(event: object): void {
  process.stdout.write(`${JSON.stringify(event)}\n`);
}
