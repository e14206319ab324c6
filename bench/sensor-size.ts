/**
 * The sensor's code, minified: EDHOC with method 3 as initiator, OSCORE, renewal, sealed memory, and the
 * check of a server's C509 chain; by module, and with the parts that a sensor may have besides.
 */
import { gzipSync } from 'node:zlib';
import {
  bundleSensor,
  bytesByModule,
  certificateParts,
  chainParts,
  pinnedParts,
  resumptionParts,
  sensorCeilingBytes,
  sessionParts,
} from './support/sensorBundle.ts';
import { atMost, type BenchResult, row } from './result.ts';

export async function run(): Promise<BenchResult> {
  const parts = [...sessionParts, ...certificateParts];
  const whole = await bundleSensor(parts);
  const pinned = await bundleSensor([...sessionParts, ...pinnedParts]);
  const chained = await bundleSensor([...parts, ...chainParts]);
  const resuming = await bundleSensor([...parts, ...resumptionParts]);
  const modules = await bytesByModule(parts);
  return {
    rows: [
      row('sensor, minified', whole.length, 'bytes'),
      ...modules.map(([module, bytes]) => row(`  ${module}`, bytes, 'bytes')),
      row('sensor, minified and compressed', gzipSync(whole, { level: 9 }).length, 'bytes'),
      row('with a pinned server in their place', pinned.length, 'bytes'),
      row('with fresh status and parts besides', chained.length, 'bytes'),
      row('with resumption by PSK besides', resuming.length, 'bytes'),
    ],
    promises: [atMost('sensor, minified', sensorCeilingBytes, whole.length)],
  };
}
