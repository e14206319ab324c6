/** The sensor as one minified script for a runtime that has ECMAScript and nothing else. */
import { fileURLToPath } from 'node:url';
import { rolldown } from 'rolldown';

const root = fileURLToPath(new URL('../../', import.meta.url));
const entry = 'sensor-core';

/** EDHOC, OSCORE and sessions; sealed memory. */
export const sessionParts: readonly string[] = [
  `export { NonIpSensor } from './src/device/sessions/sensor.ts';`,
  `export { openSealedStore } from './src/device/storage/sealedStore.ts';`,
];

/** The check of a server's C509 or X.509 chain. */
export const certificateParts: readonly string[] = [
  `export { judgeServer } from './src/device/identity/serverCertificate.ts';`,
];

/** The name under which the script leaves its exports. */
export const bundleName = 'sensor';

export async function bundleSensor(parts: readonly string[]): Promise<string> {
  const bundle = await rolldown({
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
    const { output } = await bundle.generate({ format: 'iife', name: bundleName, minify: true });
    const [chunk, ...more] = output;
    if (more.length > 0) throw new Error('the sensor is more than one script');
    return chunk.code;
  } finally {
    await bundle.close();
  }
}
