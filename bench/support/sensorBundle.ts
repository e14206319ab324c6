/** The sensor as one minified script for a runtime that has ECMAScript and nothing else. */
import { SourceMap } from 'node:module';
import { fileURLToPath } from 'node:url';
import { rolldown } from 'rolldown';

const root = fileURLToPath(new URL('../../', import.meta.url));
const entry = 'sensor-core';

/** What is promised of sessions and certificates together. */
export const sensorCeilingBytes: number = 64 * 1024;

/** EDHOC with method 3 as initiator, OSCORE and sessions; sealed memory. */
export const sessionParts: readonly string[] = [
  `export { NonIpSensor } from './src/device/sessions/sensor.ts';`,
  `export { openSealedStore } from './src/device/storage/sealedStore.ts';`,
];

/** A server that the element was given at birth. */
export const pinnedParts: readonly string[] = [
  `export { pinnedTrust } from './src/device/sessions/pinnedTrust.ts';`,
];

/** A server that shows a C509 chain: floors, and by its hash the second time. */
export const certificateParts: readonly string[] = [
  `export { nativeTrust } from './src/device/sessions/nativeTrust.ts';`,
];

/** What a sensor may have besides: fresh status, and frames that do not hold a certificate. */
export const chainParts: readonly string[] = [
  `export { freshStatus } from './src/device/identity/serverStatus.ts';`,
  `export { partedLink } from './src/device/sessions/partedLink.ts';`,
];

/** Resumption with a PSK. */
export const resumptionParts: readonly string[] = [
  `export { pskResumption } from './src/device/sessions/resumption.ts';`,
];

/** The name under which the script leaves its exports. */
export const bundleName = 'sensor';

/** ASCII, so that its length is its size in bytes. */
export async function bundleSensor(parts: readonly string[]): Promise<string> {
  const { code } = await bundle(parts);
  return code;
}

/** Bytes of the script by the module that they come from (`wire/edhoc`), the largest first. */
export async function bytesByModule(
  parts: readonly string[],
): Promise<ReadonlyArray<readonly [module: string, bytes: number]>> {
  const { code, map } = await bundle(parts);
  const bytes = new Map<string, number>();
  for (const [line, text] of code.split('\n').entries()) {
    for (let column = 0; column < text.length; column += 1) {
      const entry = map.findEntry(line, column);
      const source = 'originalSource' in entry ? entry.originalSource : '';
      const module = /src\/(\w+\/\w+)\//.exec(source)?.[1] ?? 'around them';
      bytes.set(module, (bytes.get(module) ?? 0) + 1);
    }
  }
  return [...bytes].sort(([, one], [, other]) => other - one);
}

async function bundle(
  parts: readonly string[],
): Promise<{ readonly code: string; readonly map: SourceMap }> {
  const input = await rolldown({
    input: entry,
    cwd: root,
    platform: 'neutral',
    treeshake: true,
    plugins: [
      {
        name: 'entry',
        resolveId: (id) => (id === entry ? `${root}${entry}.ts` : undefined),
        load: (id) => (id === `${root}${entry}.ts` ? parts.join('\n') : undefined),
      },
    ],
  });
  try {
    const { output } = await input.generate({
      format: 'iife',
      name: bundleName,
      minify: true,
      sourcemap: 'hidden',
    });
    const [chunk, ...more] = output.filter((file) => file.type === 'chunk');
    if (chunk === undefined || chunk.map === null || more.length > 0)
      throw new Error('the sensor is more than one script');
    const payload = JSON.parse(chunk.map.toString()) as ConstructorParameters<typeof SourceMap>[0];
    return { code: chunk.code, map: new SourceMap(payload) };
  } finally {
    await input.close();
  }
}
