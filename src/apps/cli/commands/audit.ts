/** `birthmark audit`: is the record of the authority whole and consistent. */
import type { Command } from 'commander';
import { readCertifiedBook } from '../../authority/book.ts';
import {
  authorityPaths,
  type AuthorityPaths,
  readCertificateFile,
} from '../../authority/authorityFolder.ts';
import { openAuthoritySnapshot } from '../../authority/stores.ts';
import { fsck as check } from '../../fsck/fsck.ts';
import { readStoreSetting, storeOption } from '../../storeSetting.ts';
import { exitCodes, type OutputOptions, print, Progress } from '../terminal.ts';
import { registerAuditLog } from './auditLog.ts';
import { registerAuditWitness } from './auditWitness.ts';
import { defaultData } from './ca.ts';
import { InspectionClient } from '../../../drivers/links/local/inspectionClient.ts';
import { toHex } from '../../../wire/bytes/hex.ts';
import { reachable, type ReachOptions, reachOf } from '../reach.ts';

interface AuditOptions extends OutputOptions {
  readonly data: string;
  readonly store?: string;
}

export function registerAudit(program: Command): void {
  const audit = program.command('audit').description('The record of what the authority did');
  audit
    .command('fsck')
    .description('Check the whole database independently; the authority may be running')
    .option('--data <folder>', 'data folder', defaultData)
    .option(...storeOption)
    .option('--json', 'one JSON document on stdout')
    .addHelpText(
      'after',
      `
Example:
  birthmark audit fsck --data /srv/birthmark

Exit code 0 when nothing is signed that is not recorded, nothing is recorded twice, no quota is exceeded
and the log is consistent; 1 when a fault was found.`,
    )
    .action(fsck);
  registerAuditLog(audit);
  registerAuditWitness(audit);
  const about =
    'Size and root of the log: keep it elsewhere, and the past cannot be changed unseen';
  reachable(audit.command('head').description(about))
    .option('--json', 'one JSON document on stdout')
    .addHelpText(
      'after',
      `
Examples:
  birthmark audit head --json >> /mnt/elsewhere/heads
  birthmark audit head --server https://birthmark.example:8444 --operator ./ada`,
    )
    .action(head);
}

async function fsck(options: AuditOptions): Promise<void> {
  const paths = authorityPaths(options.data);
  const progress = new Progress('certificates', 1);
  const report = await check({
    issuers: await readIssuers(paths),
    snapshot: await openAuthoritySnapshot(paths, readStoreSetting(options.store)),
    onProgress: (done, total) => {
      progress.update(done, `of ${total}`);
    },
  });
  progress.end();
  const { certificates, revoked, units, tickets, leaves, lists, approvals, unfinished } = report;
  print(options, report, [
    ...report.faults.map((fault) => `FAULT ${fault}`),
    `${certificates} certificates (${revoked} revoked), ${units} units under ${tickets} tickets, ${lists} lists, ${approvals} requests of operators, ${leaves} log entries.`,
    ...(unfinished === 0 ? [] : [`${unfinished} intents wait to be signed at the next start.`]),
    report.ok ? 'Everything adds up.' : `${report.faults.length} faults.`,
  ]);
  if (!report.ok) process.exitCode = exitCodes.refused;
}

async function head(options: OutputOptions & ReachOptions): Promise<void> {
  const desk = new InspectionClient(reachOf(options, 'authority'));
  try {
    const { treeSize: auditSize, root } = await desk.log();
    const auditRoot = toHex(root);
    print(options, { auditSize, auditRoot }, [`${auditSize} entries, root ${auditRoot}`]);
  } finally {
    desk.close();
  }
}

async function readIssuers(paths: AuthorityPaths): Promise<ReadonlyMap<string, Uint8Array>> {
  const issuers = new Map<string, Uint8Array>();
  for (const { name } of await readCertifiedBook(paths)) {
    issuers.set(name, await readCertificateFile(paths, name));
  }
  return issuers;
}
