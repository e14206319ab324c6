/** `birthmark ca ceremony`: makes the authorities from one written plan and leaves a transcript. */
import { readFile, writeFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { toHex } from '../../../wire/bytes/hex.ts';
import { parsePem } from '../../../wire/x509/pem.ts';
import { describePlan, holdCeremony, parseCeremony } from '../../authority/ceremony.ts';
import { readPassphrase } from '../../passphrase.ts';
import { readStoreSetting } from '../../storeSetting.ts';
import { defaultData } from '../dataFolder.ts';
import { type OutputOptions, print } from '../terminal.ts';

interface CeremonyOptions extends OutputOptions {
  readonly data: string;
  readonly transcript: string;
  readonly rootOffline?: string;
  readonly dryRun?: boolean;
}

export function registerCeremony(ca: Command): void {
  ca.command('ceremony <plan>')
    .description('Make the authorities from one file, and write down what was made')
    .requiredOption(
      '--transcript <file>',
      'where the transcript is written; it must not be there yet',
    )
    .option('--data <folder>', 'data folder', defaultData())
    .option(
      '--root-offline <file>',
      'certificate of the root, where the plan says "key": "offline"',
    )
    .option('--dry-run', 'say what the plan would make')
    .option('--json', 'one JSON document on stdout')
    .addHelpText(
      'after',
      `
Example:
  birthmark ca ceremony plan.json --transcript ceremony.txt

plan.json:
  { "organization": "Example Sensors",
    "present": ["Ada, holds the passphrase", "Bob, watches"],
    "authorities": [
      { "name": "root", "role": "root", "algorithm": "ecdsa-with-SHA384", "state": "active" },
      { "name": "factory", "role": "factory", "algorithm": "ecdsa-with-SHA256", "state": "active" },
      { "name": "operational", "role": "operational", "algorithm": "ecdsa-with-SHA256", "state": "active",
        "key": "pkcs11:token=ca;object=operational?module-path=/usr/lib/softhsm/libsofthsm2.so" },
      { "name": "server", "role": "server", "algorithm": "ecdsa-with-SHA256", "state": "active" } ],
    "twoPersons": { "massLimit": 100, "admins": {
      "ada": "-----BEGIN CERTIFICATE REQUEST-----...", "bob": "-----BEGIN CERTIFICATE REQUEST-----..." } } }

Held again with the same plan, it makes what is missing and keeps what is there.`,
    )
    .action(ceremony);
}

async function ceremony(file: string, options: CeremonyOptions): Promise<void> {
  const { data, transcript, rootOffline } = options;
  const plan = parseCeremony(await readFile(file, 'utf8'));
  const sha256 = toHex(plan.sha256);
  if (options.dryRun === true) {
    const { organization, authorities } = plan;
    print(options, { dryRun: true, sha256, organization, authorities }, [
      ...describePlan(plan),
      `SHA-256 of the plan: ${sha256}`,
    ]);
    return;
  }
  // Taken before any key is made: a transcript that cannot be written must not be missed afterwards.
  await writeFile(transcript, '', { flag: 'wx', mode: 0o600 });
  const passphrase = await readPassphrase({ confirm: true });
  const lines = await holdCeremony(plan, {
    dataFolder: data,
    passphrase,
    clock: { nowMs: Date.now },
    store: readStoreSetting(undefined),
    ...(rootOffline === undefined
      ? {}
      : { rootCertificate: parsePem(await readFile(rootOffline, 'utf8'), 'CERTIFICATE') }),
  });
  await writeFile(transcript, `${lines.join('\n')}\n`, { mode: 0o600 });
  print(options, { transcript, sha256 }, lines);
}
