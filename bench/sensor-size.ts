/** The sensor's code, minified: EDHOC as initiator, OSCORE, renewal, sealed memory, and the C509 check. */
import { gzipSync } from 'node:zlib';
import { bundleSensor, certificateParts, sessionParts } from './support/sensorBundle.ts';
import { atMost, type BenchResult, row } from './result.ts';

const promisedBytes = 64 * 1024;

export async function run(): Promise<BenchResult> {
  const whole = await bundleSensor([...sessionParts, ...certificateParts]);
  const sessions = await bundleSensor(sessionParts);
  const certificates = await bundleSensor(certificateParts);
  const bytes = Buffer.byteLength(whole);
  return {
    rows: [
      row('sensor, minified', bytes, 'bytes'),
      row('sensor, minified and compressed', gzipSync(whole, { level: 9 }).length, 'bytes'),
      row('of that, without certificates', Buffer.byteLength(sessions), 'bytes'),
      row('the check of certificates alone', Buffer.byteLength(certificates), 'bytes'),
    ],
    promises: [atMost('sensor, minified', promisedBytes, bytes)],
  };
}
