/** `birthmark manifest`: lists of finished elements, checked and imported. */
import { createReadStream, statSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { nodeCrypto } from '../../../drivers/keys/software/nodeCrypto.ts';
import { SoftwareVerifier } from '../../../drivers/keys/software/verifier.ts';
import { ProvisionerClient } from '../../../drivers/links/local/provisionerClient.ts';
import { EnvironmentError, isRefusal } from '../../../trust/ports/faults.ts';
import {
  type ManifestFormat,
  ManifestReader,
  type ManifestRefused,
  type ManifestTrust,
} from '../../../trust/registry/manifestReader.ts';
import { socketPathFor } from '../../socketPath.ts';
import { readX509 } from '../certificateFiles.ts';
import {
  allowed,
  CommandFailure,
  exitCodes,
  type OutputOptions,
  print,
  Progress,
} from '../terminal.ts';

interface TrustOptions extends OutputOptions {
  readonly root: readonly string[];
  readonly logSigner: readonly string[];
  readonly format: string;
}

interface ImportOptions extends TrustOptions {
  readonly data: string;
  readonly product?: string;
  readonly expected?: boolean;
  readonly dryRun?: boolean;
}

export function registerManifest(program: Command): void {
  const manifest = program
    .command('manifest')
    .description('Signed lists of finished elements: those of chip makers and our own');
  withTrust(manifest.command('verify').description('Check every entry; imports nothing'))
    .addHelpText(
      'after',
      `
Examples:
  birthmark manifest verify manifest.json --root root-ca-002.pem --log-signer log-signer.pem
  birthmark manifest verify batch-7.json --format birthmark --root root.pem --log-signer manifests.pem --json

The first fault ends it with the entry's position, counted from 0, and the reason. Log signers are
judged at the moment when they signed, roots at the moment when the element was made.`,
    )
    .action(verify);
  withTrust(manifest.command('import').description('Make the elements of a manifest known devices'))
    .option('--product <name>', 'product of foreign elements (default: their part number)')
    .option('--expected', 'the goods are still on their way: known, but may not enrol yet')
    .option('--data <folder>', 'data folder of the server', defaultData())
    .option('--dry-run', 'check everything, change nothing')
    .addHelpText(
      'after',
      `
Examples:
  birthmark manifest import manifest.json --root root-ca-002.pem --log-signer log-signer.pem --dry-run
  birthmark manifest import manifest.json --root root-ca-002.pem --log-signer log-signer.pem \\
      --product thermometer

All or nothing: one bad entry is named and nothing is imported. Importing a manifest again changes
nothing. The provisioner of the data folder has to be running.`,
    )
    .action(importManifest);
}

function withTrust(command: Command): Command {
  return command
    .argument('<file>', 'the manifest, a JSON array')
    .requiredOption('--root <files...>', 'roots of the elements, PEM or DER')
    .requiredOption('--log-signer <files...>', 'certificates that may sign entries, PEM or DER')
    .option('--format <name>', 'microchip or birthmark', 'microchip')
    .option('--json', 'one JSON document on stdout');
}

function defaultData(): string {
  return process.env['BIRTHMARK_DATA'] ?? './birthmark-data';
}

async function verify(file: string, options: TrustOptions): Promise<void> {
  const checked = await check(file, options);
  print(options, { ok: true, file, ...checked }, linesOf(file, checked));
}

async function importManifest(file: string, options: ImportOptions): Promise<void> {
  const checked = await check(file, options);
  if (options.dryRun === true) {
    print(options, { ok: true, dryRun: true, file, ...checked }, [
      ...linesOf(file, checked),
      'Nothing was imported.',
    ]);
    return;
  }
  const client = new ProvisionerClient(socketPathFor(options.data, 'provisioner'));
  try {
    const summary = allowed(
      await client.importManifest({
        ...trustOf(options),
        file: resolve(file),
        product: options.product,
        state: options.expected === true ? 'expected' : 'released',
      }),
    );
    print(options, { ok: true, file, ...checked, ...summary }, [
      ...linesOf(file, checked),
      `${summary.imported} imported, ${summary.unchanged} known before.`,
    ]);
  } finally {
    client.close();
  }
}

interface Checked {
  readonly elements: number;
  /** Elements by model. */
  readonly models: Readonly<Record<string, number>>;
}

async function check(file: string, options: TrustOptions): Promise<Checked> {
  const reader = new ManifestReader(trustOf(options), {
    crypto: nodeCrypto,
    verifier: new SoftwareVerifier(),
  });
  const models = new Map<string, number>();
  const progress = new Progress('verify, KiB', Math.ceil(statSync(file).size / 1024));
  let elements = 0;
  let readBytes = 0;
  try {
    for await (const chunk of createReadStream(file, { highWaterMark: 262_144 })) {
      if (!(chunk instanceof Uint8Array))
        throw new EnvironmentError('no bytes', { retryable: false });
      const verified = reader.push(chunk);
      if (isRefusal(verified)) throw refused(options, file, verified);
      for (const { model } of verified) models.set(model, (models.get(model) ?? 0) + 1);
      elements += verified.length;
      readBytes += chunk.length;
      progress.update(Math.ceil(readBytes / 1024), `${elements} elements`);
    }
  } finally {
    progress.end();
  }
  const unfinished = reader.end();
  if (unfinished !== undefined) throw refused(options, file, unfinished);
  return { elements, models: Object.fromEntries(models) };
}

function trustOf({ format, root, logSigner }: TrustOptions): ManifestTrust {
  const anchors = readX509(root);
  return { format: formatOf(format), signers: readX509(logSigner), anchors };
}

function formatOf(format: string): ManifestFormat {
  if (format === 'microchip' || format === 'birthmark') return format;
  throw new CommandFailure('--format takes microchip or birthmark', exitCodes.usage);
}

function refused(options: OutputOptions, file: string, refusal: ManifestRefused): CommandFailure {
  const { entry, reason } = refusal;
  if (options.json === true) {
    print(options, { ok: false, file, refused: refusal.refused, entry, reason }, []);
  }
  return new CommandFailure(`${file}: ${reason} [${refusal.refused}]`);
}

function linesOf(file: string, { elements, models }: Checked): string[] {
  const kinds = Object.entries(models).map(([model, count]) => `${count} ${model}`);
  return [`${file}: every entry is right: ${elements} elements (${kinds.join(', ')}).`];
}
