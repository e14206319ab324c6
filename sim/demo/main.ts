/**
 * The whole journey on one machine, in real processes that talk over real sockets: from silicon to secured
 * telemetry. `--json` ends with the report as the last line of stdout; exit code 0 only if every step held.
 */
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Application } from './application.ts';
import { createAuthorities } from './authorities.ts';
import { type Finished, personalize } from './birth.ts';
import { check, type Demo, type Server } from './demo.ts';
import {
  openAir,
  showFrame,
  switchOnChainSensor,
  switchOnGateway,
  switchOnIpSensor,
  switchOnRadioSensor,
} from './field.ts';
import { importManifest } from './import.ts';
import { Narrator } from './narrator.ts';
import { stopAll } from './processes.ts';
import { emptyReport } from './report.ts';
import { revokeTwo } from './revocation.ts';

const { values } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    keep: { type: 'boolean', default: false },
  },
});

/** Elements of the order that the station works on. */
const quantity = 1_000;

const startedMs = performance.now();
const folder = mkdtempSync(join(tmpdir(), 'birthmark-demo-'));
const narrator = new Narrator();
const demo = prepare();

try {
  await journey();
  demo.report.ok = true;
} catch (error) {
  narrator.failed(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
} finally {
  await stopAll();
  if (values.keep) narrator.say(`data kept in ${folder}`);
  else rmSync(folder, { recursive: true, force: true });
  demo.report.durationMs = Math.round(performance.now() - startedMs);
  conclude();
}

function prepare(): Demo {
  const passphrase = randomBytes(24).toString('base64url');
  const passphraseFile = join(folder, 'passphrase');
  writeFileSync(passphraseFile, passphrase, { mode: 0o600 });
  const variables = {
    BIRTHMARK_DATA: join(folder, 'data'),
    BIRTHMARK_PASSPHRASE_FILE: passphraseFile,
  };
  return { environment: { folder, variables }, passphrase, narrator, report: emptyReport() };
}

async function journey(): Promise<void> {
  narrator.title('From silicon to secured telemetry');
  narrator.step(1, 'Authorities');
  const server = await createAuthorities(demo);

  narrator.step(2, 'Birth: identities go into secure elements');
  const { gateway, sensors } = await personalize(demo, server, quantity);

  narrator.step(3, "Import: a chip vendor's manifest");
  await importManifest(demo);

  narrator.step(4, 'First power-on over IP: nothing but an element');
  const application = await Application.connect(demo, server);
  try {
    await field(server, application, gateway, sensors);
  } finally {
    for (const device of demo.report.devices) {
      device.telemetry = application.of(device.deviceId).length;
    }
    await application.close();
  }
  check(demo, demo.report.devices.length === 5, 'five devices provisioned themselves');
}

async function field(
  server: Server,
  application: Application,
  gateway: Finished,
  sensors: readonly Finished[],
): Promise<void> {
  const air = await openAir(demo);
  const liveGateway = await switchOnGateway(demo, server, gateway, air, application);
  const [first, second, third, fourth] = sensors;
  const ipSensor = await switchOnIpSensor(demo, server, existing(first), application);
  const otherIpSensor = await switchOnIpSensor(demo, server, existing(second), application);

  narrator.step(
    5,
    'First power-on without IP: a radio of 51 bytes that loses, doubles and reorders',
  );
  const radioSensor = await switchOnRadioSensor(demo, existing(third), air, application);
  const reading = application.of(radioSensor.element.deviceId).at(-1);
  showFrame(demo, liveGateway, reading?.payload ?? '');
  await switchOnChainSensor(demo, existing(fourth), air, application);

  narrator.step(6, 'Revocation');
  const live = { gateway: liveGateway, ipSensor, otherIpSensor, radioSensor, air };
  await revokeTwo(demo, server, live, application);
}

function existing(element: Finished | undefined): Finished {
  if (element === undefined) throw new Error('too few elements were personalized');
  return element;
}

function conclude(): void {
  const { report } = demo;
  narrator.step(7, 'Report');
  const { personalized, devices, revoked, durationMs } = report;
  narrator.say(
    `${personalized.verified} identities at ${personalized.perSecond}/s, a kill included`,
  );
  for (const { kind, deviceId, firstTelemetryMs, telemetry } of devices) {
    narrator.say(
      `${kind} ${deviceId}: ${firstTelemetryMs} ms to first telemetry, ${telemetry} readings`,
    );
  }
  for (const { kind, deviceId, killMs } of revoked) {
    narrator.say(`${kind} ${deviceId}: revoked, last session closed after ${killMs} ms`);
  }
  narrator.say(
    `${report.ok ? 'every step held' : 'NOT every step held'}, ${(durationMs / 1000).toFixed(1)} s`,
  );
  if (values.json) process.stdout.write(`${JSON.stringify(report)}\n`);
}
