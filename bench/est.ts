/**
 * Enrolment over EST: devices with an identity from birth, mutual TLS, a request of their own key, and the
 * certificate in the answer; each on a new connection, and many on connections that are kept.
 *
 * Server, authority and devices are the real ones: the provisioner in this thread, the authority behind its
 * local socket in a second one, the devices in a third. All of them share two cores. Keys and requests are
 * made before the clock starts, as devices do; handshakes, HTTP and reading the answers count.
 */
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { assembleForBench, type BornDevice } from './support/estHouse.ts';
import type { EstReport, EstTask } from './support/estClients.ts';
import { atLeast, type BenchResult, row } from './result.ts';

/** Each enrols once on a connection of its own, but for those that keep theirs. */
const devices = 3_000;
/** Of these, those that keep their connection. */
const kept = { connections: 2_048, together: 128, enrolments: 2, renewals: 16 };
/** Connections that are being made at once. */
const together = 32;

export async function run(): Promise<BenchResult> {
  const folder = mkdtempSync(join(tmpdir(), 'birthmark-bench-'));
  const house = await assembleForBench(folder, devices);
  try {
    const report = await clients({
      port: house.port,
      anchorPem: house.anchorPem,
      devices: house.devices.map(({ deviceId, privateKeyPem, chainPem }: BornDevice) => ({
        deviceId,
        privateKeyPem,
        chainPem,
      })),
      together,
      kept,
    });
    const fresh = (report.fresh.count * 1000) / report.fresh.ms;
    const again = (report.kept.count * 1000) / report.kept.ms;
    const renewed = (report.renewed.count * 1000) / report.renewed.ms;
    return {
      rows: [
        row('enrolments, each on a new connection', fresh, '1/s'),
        row('one of them, p50', report.fresh.p50Ms, 'ms'),
        row(
          'TLS handshakes alone, mutual, new',
          (report.handshakes.count * 1000) / report.handshakes.ms,
          '1/s',
        ),
        row(`enrolments on connections that are kept, ${kept.together} at once`, again, '1/s'),
        row('one of them, p50', report.kept.p50Ms, 'ms'),
        row('further renewals there, each of which ends a certificate', renewed, '1/s'),
        row('processor time of a handshake alone', report.handshakes.cpuMicros, 'µs'),
        row('processor time of an enrolment on a kept connection', report.kept.cpuMicros, 'µs'),
        row('processor time of a further renewal', report.renewed.cpuMicros, 'µs'),
        row('processor time of an enrolment on a new connection', report.fresh.cpuMicros, 'µs'),
      ],
      promises: [
        atLeast('on a new connection, a second', 300, fresh),
        atLeast('kept alive, a second', 2_000, again),
      ],
    };
  } finally {
    await house.close();
    rmSync(folder, { recursive: true });
  }
}

async function clients(task: EstTask): Promise<EstReport> {
  const worker = new Worker(new URL('./support/estClients.ts', import.meta.url), {
    workerData: task,
  });
  const [report] = (await once(worker, 'message')) as [EstReport];
  await worker.terminate();
  return report;
}
