/** Step 3: elements that a chip vendor personalized become known devices. */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { check, type Demo, inFolder } from './demo.ts';
import { ask, finish, numberOf, words } from './processes.ts';

const vectors = fileURLToPath(new URL('../../test/vectors/microchip-manifest/', import.meta.url));
const pins = words`--root ${vectors}root-ca-002.pem --log-signer ${vectors}log-signer.pem`;

export async function importManifest(demo: Demo): Promise<void> {
  const { environment, narrator, report } = demo;
  const tampered = inFolder(demo, 'tampered.json');
  writeFileSync(tampered, tamper(readFileSync(`${vectors}manifest.json`, 'utf8')));
  const refused = await finish(environment, [...words`manifest import ${tampered}`, ...pins]);
  const reason = refused.stderr.trim().replace(/^birthmark: /, '');
  check(demo, refused.exitCode !== 0 && reason !== '', `a tampered copy is refused: ${reason}`);

  const genuine = words`manifest import ${vectors}manifest.json --product th-sensor`;
  const imported = await ask(environment, [...genuine, ...pins]);
  const elements = numberOf(imported, 'imported');
  report.imported = { manifests: 1, elements };
  check(
    demo,
    elements === 1,
    "Microchip's manifest: log signer, chain to root 002, one known device",
  );
  const again = await ask(environment, [...genuine, ...pins]);
  check(demo, numberOf(again, 'imported') === 0, 'imported a second time it changes nothing');
  narrator.say('the entry was judged at its signing time: its log signer has long expired');
}

/** Another part number in the first signed payload: as JSON as good as before. */
function tamper(manifest: string): string {
  return manifest.replace(/"payload":\s*"([^"]+)"/, (_, payload: string) => {
    const text = Buffer.from(payload, 'base64url').toString().replace('ATECC608A', 'ATECC608B');
    return `"payload": "${Buffer.from(text).toString('base64url')}"`;
  });
}
