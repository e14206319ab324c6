/** `birthmark audit verify` and `show`: the log as files, here or as a copy somewhere else. */
import { type Command, InvalidArgumentError } from 'commander';
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { entryDocument } from '../../audit/entryDocument.ts';
import {
  checkpointOf,
  cosigned,
  entriesOf,
  type LogCopy,
  openCopy,
  openInstallation,
  proofText,
  seenByWitnesses,
  seenInFolder,
} from '../../audit/logCopy.ts';
import { authorityPaths } from '../../authority/authorityFolder.ts';
import { openAuthoritySnapshot } from '../../authority/stores.ts';
import { sha256 } from '../../authority/witnesses.ts';
import { readStoreSetting, storeOption } from '../../storeSetting.ts';
import { SoftwareVerifier } from '../../../drivers/keys/software/verifier.ts';
import { SnapshotIssuingReader } from '../../../drivers/store/issuingReader.ts';
import { verifyLog, type SeenCheckpoint, type VerifyReport } from '../../../trust/audit/verify.ts';
import { toHex } from '../../../wire/bytes/hex.ts';
import { parseNoteKey } from '../../../wire/tlog/noteKey.ts';
import { parseInclusion, proofBytes } from '../../../wire/tlog/proof.ts';
import { leafHash, verifyInclusion } from '../../../wire/tlog/tree.ts';
import { parseCheckpoint } from '../../../wire/tlog/checkpoint.ts';
import { InspectionClient } from '../../../drivers/links/local/inspectionClient.ts';
import { signedBy } from '../../../trust/audit/notes.ts';
import type { LogLeaf } from '../../../trust/ports/inspection.ts';
import { reachable, type ReachOptions, reachOf } from '../reach.ts';
import { defaultData } from '../dataFolder.ts';
import { CommandFailure, exitCodes, type OutputOptions, print, Progress } from '../terminal.ts';

export interface LogOptions extends OutputOptions {
  readonly data: string;
  readonly log?: string;
  readonly key?: string;
}

type ShowOptions = LogOptions & ReachOptions;

interface VerifyOptions extends LogOptions {
  readonly store?: string;
  readonly witness?: readonly string[];
  readonly witnessKey?: readonly string[];
}

export function registerAuditLog(audit: Command): void {
  withLog(audit.command('verify').description('Check the log from its files, here or as a copy'))
    .option(...storeOption)
    .option('--witness <folders...>', 'folders of witnesses, beside those of the installation')
    .option('--witness-key <keys...>', 'keys of witnesses whose signature is required')
    .addHelpText(
      'after',
      `
Examples:
  birthmark audit verify
  birthmark audit verify --log /mnt/copy/log --key "$(cat log.key)" --witness /mnt/witness

Exit code 0 when every entry stands under the checkpoint and every witness saw a past of it; 1 when a
fault was found, with the first leaf at fault; 2 for a key that is none; 3 when files are out of reach.
Of an installation the database and its witnesses are compared too; a copy needs nothing but itself.`,
    )
    .action(verify);
  const about = 'One entry of the log, with the proof that it stands there';
  withKey(reachable(audit.command('show').description(about)))
    .argument('<leaf>', 'number of the leaf, from 0', leafNumber)
    .addHelpText(
      'after',
      `
Examples:
  birthmark audit show 0
  birthmark audit show 4711 --json --log /mnt/copy/log
  birthmark audit show 0 --server https://birthmark.example:8444 --operator ./ada --key "$(cat log.key)"`,
    )
    .action(show);
}

/** The options that choose a log. */
export function withLog(command: Command): Command {
  return withKey(command.option('--data <folder>', 'data folder', defaultData()));
}

function withKey(command: Command): Command {
  return command
    .option('--log <folder>', 'a copied log instead of that of the data folder')
    .option('--key <key>', 'verifier key of the copied log (default: the one in the copy)')
    .option('--json', 'one JSON document on stdout');
}

/** The log that the options name. */
export async function chosenLog(options: LogOptions): Promise<LogCopy> {
  return options.log === undefined
    ? openInstallation(authorityPaths(options.data))
    : openCopy(resolve(options.log), options.key);
}

async function verify(options: VerifyOptions): Promise<void> {
  const copy = await chosenLog(options);
  const seen = await seenOf(options, copy);
  const paths = authorityPaths(options.data);
  const setting = readStoreSetting(options.store);
  const compared =
    options.log === undefined && (setting !== undefined || existsSync(paths.database));
  const snapshot = compared ? await openAuthoritySnapshot(paths, setting) : undefined;
  const database = snapshot === undefined ? undefined : new SnapshotIssuingReader(snapshot);
  const progress = new Progress('leaves', 1);
  try {
    const report = await verifyLog({
      files: copy.files,
      hash: sha256,
      verifier: new SoftwareVerifier(),
      key: copy.key,
      seen,
      ...(database === undefined
        ? {}
        : { rows: (from: number, limit: number) => database.leaves(from, limit) }),
      onProgress: (done, total) => progress.update(done, `of ${total}`),
    });
    progress.end();
    tell(options, copy, report);
  } finally {
    await snapshot?.close();
  }
}

async function seenOf(options: VerifyOptions, { files, key }: LogCopy): Promise<SeenCheckpoint[]> {
  const keys = (options.witnessKey ?? []).map((text) => parseNoteKey(sha256, text));
  const seen = [...(await cosigned(files.folder, keys))];
  for (const folder of options.witness ?? []) seen.push(...(await seenInFolder(folder, key)));
  if (options.log !== undefined) return seen;
  return [...seen, ...(await seenByWitnesses(authorityPaths(options.data), key))];
}

function tell(options: VerifyOptions, copy: LogCopy, report: VerifyReport): void {
  const { ok, faults, firstLeaf, treeSize, root, witnessed } = report;
  const sources = [...new Set(witnessed.map(({ source }) => source))];
  const document = {
    ok,
    log: copy.key.name,
    treeSize,
    root: toHex(root),
    firstLeaf: firstLeaf ?? null,
    faults,
    witnessed: witnessed.map((one) => ({ ...one, atMs: one.atMs ?? null })),
    keyFromCopy: copy.keyIsOwn,
  };
  print(options, document, [
    ...faults.map(({ text }) => `FAULT ${text}`),
    ...(firstLeaf === undefined ? [] : [`The first leaf at fault: ${firstLeaf}`]),
    `${treeSize} leaves, root ${toHex(root)}`,
    ...sources.map((source) => {
      const own = witnessed.filter((one) => one.source === source);
      const sizes = own.map((one) => one.treeSize);
      return `${source} saw ${own.length} of its checkpoints, the last with ${Math.max(...sizes)} leaves.`;
    }),
    ...(sources.length === 0
      ? [
          'No witness was asked: the log agrees with itself, and could still be another than before.',
        ]
      : []),
    ...(copy.keyIsOwn ? ['The key came with the copy: give --key to know whose log this is.'] : []),
    ok ? 'Nothing was removed, changed or reordered.' : `${faults.length} faults.`,
  ]);
  if (!ok) process.exitCode = exitCodes.refused;
}

async function show(leaf: number, options: ShowOptions): Promise<void> {
  const { bytes, proof } =
    options.server === undefined || options.log !== undefined
      ? await leafInFiles(leaf, options)
      : await leafElsewhere(leaf, options);
  const hash = toHex(leafHash(sha256, bytes));
  const document = { leaf, hash, bytes: toHex(bytes), entry: entryDocument(bytes), proof };
  print(options, document, [
    ...Object.entries(document.entry).map(([name, value]) => `${name}: ${String(value)}`),
    '',
    `leaf ${leaf}, hash ${hash}`,
    proof.trimEnd(),
  ]);
}

async function leafInFiles(leaf: number, options: LogOptions): Promise<LogLeaf> {
  const copy = await chosenLog(options);
  const checkpoint = await checkpointOf(copy);
  for await (const { entry } of entriesOf(copy, checkpoint, leaf)) {
    return { bytes: entry, proof: await proofText(copy, checkpoint, leaf) };
  }
  throw new CommandFailure(`the log has ${checkpoint.treeSize} leaves: no leaf ${leaf}`);
}

/** What the server says of a leaf is held against the checkpoint, and that against the key where one is given. */
async function leafElsewhere(leaf: number, options: ShowOptions): Promise<LogLeaf> {
  const found = await new InspectionClient(reachOf(options, 'authority')).leaf(leaf);
  if (found === undefined) throw new CommandFailure(`the log has no leaf ${leaf} yet`);
  const { leafIndex, path, checkpoint } = parseInclusion(proofBytes(found.proof));
  const note = parseCheckpoint(proofBytes(checkpoint));
  const { treeSize, root } = note;
  const proven = { leaf: leafHash(sha256, found.bytes), leafIndex, treeSize, path, root };
  if (leafIndex !== leaf || !verifyInclusion(sha256, proven)) {
    throw new CommandFailure(`leaf ${leaf} does not stand under the checkpoint of the server`);
  }
  if (options.key !== undefined) {
    const key = parseNoteKey(sha256, options.key);
    if (!signedBy(new SoftwareVerifier(), note, key)) {
      throw new CommandFailure('the checkpoint of the server is not signed by that key');
    }
  }
  return found;
}

function leafNumber(text: string): number {
  if (/^(?:0|[1-9]\d{0,14})$/.test(text)) return Number(text);
  throw new InvalidArgumentError('a whole number from 0 is expected');
}
