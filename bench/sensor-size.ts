/**
 * The sensor's code, minified: EDHOC with method 3 as initiator, OSCORE, renewal, sealed memory, and the
 * check of a server's C509 chain; by module, and with the parts that a sensor may have besides.
 */
import { gzipSync } from 'node:zlib';
import {
  bundleSensor,
  bytesByModule,
  certificateParts,
  resumptionParts,
  sensorCeilingBytes,
  sessionParts,
} from './support/sensorBundle.ts';
import { atMost, type BenchResult, row } from './result.ts';

export async function run(): Promise<BenchResult> {
  const parts = [...sessionParts, ...certificateParts];
  const whole = await bundleSensor(parts);
  const sessions = await bundleSensor(sessionParts);
  const resuming = await bundleSensor([...parts, ...resumptionParts]);
  const modules = await bytesByModule(parts);
  return {
    rows: [
      row('sensor, minified', whole.length, 'bytes'),
      ...modules.map(([module, bytes]) => row(`  ${module}`, bytes, 'bytes')),
      row('sensor, minified and compressed', gzipSync(whole, { level: 9 }).length, 'bytes'),
      row('without the check of certificates', sessions.length, 'bytes'),
      row('with resumption by PSK besides', resuming.length, 'bytes'),
    ],
    promises: [atMost('sensor, minified', sensorCeilingBytes, whole.length)],
  };
}
