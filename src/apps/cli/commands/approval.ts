/** `birthmark approval`: what waits for a second person, and what that person says. */
import type { Command } from 'commander';
import { nodeCrypto } from '../../../drivers/keys/software/nodeCrypto.ts';
import { readParameters } from '../../../trust/approvals/acts.ts';
import {
  encodeDecision,
  readRequest,
  readSigned,
  signDocument,
} from '../../../trust/approvals/documents.ts';
import type { Decision, RequestRecord } from '../../../trust/ports/approvalStore.ts';
import { toHex } from '../../../wire/bytes/hex.ts';
import { describe, linesOf, parseId, withApprovals } from '../approving.ts';
import { everyEntry } from '../pages.ts';
import { operatorOf, reachable, type ReachOptions } from '../reach.ts';
import {
  allowed,
  CommandFailure,
  exitCodes,
  type OutputOptions,
  print,
  table,
} from '../terminal.ts';

interface DataOptions extends OutputOptions, ReachOptions {}

interface DecideOptions extends DataOptions {
  readonly as?: string;
  readonly dryRun?: boolean;
}

const verbs = [
  ['approve', 'approved', 'Allow an act that another operator has asked for'],
  ['reject', 'rejected', 'Refuse it'],
  ['withdraw', 'withdrawn', 'Take a request of your own back'],
] as const;

export function registerApproval(program: Command): void {
  const approval = program
    .command('approval')
    .description('Acts that take two persons: what waits, and what the second one says');
  reachable(approval.command('list').description('Requests, newest first'))
    .option('--all', 'also those that are decided, used or late')
    .option('--json', 'one JSON document on stdout')
    .addHelpText('after', '\nExample:\n  birthmark approval list')
    .action(list);
  reachable(approval.command('show <id>').description('What exactly is asked for'))
    .option('--json', 'one JSON document on stdout')
    .addHelpText('after', '\nExample:\n  birthmark approval show 3f2a…')
    .action(show);
  for (const [verb, decision, about] of verbs) {
    reachable(approval.command(`${verb} <id>`).description(about))
      .option('--as <folder>', 'folder of the operator who says it (default: --operator)')
      .option('--dry-run', 'say what would be signed')
      .option('--json', 'one JSON document on stdout')
      .addHelpText(
        'after',
        `
Examples:
  birthmark approval ${verb} 3f2a… --as ./bob
  birthmark approval ${verb} 3f2a… --server https://birthmark.example:8444 --operator ./bob

The passphrase of the operator's key comes from BIRTHMARK_OPERATOR_PASSPHRASE_FILE,
BIRTHMARK_OPERATOR_PASSPHRASE or a prompt. What is signed is the hash of exactly what show shows.`,
      )
      .action((id: string, options: DecideOptions) => decide(id, decision, options));
  }
}

async function list(options: DataOptions & { readonly all?: boolean }): Promise<void> {
  const nowMs = Date.now();
  const all = await withApprovals(options, (desk) =>
    everyEntry(
      (limit, before: Uint8Array | undefined) => desk.requests(limit, before),
      ({ id }) => id,
    ),
  );
  const requests = all.filter((request) => options.all === true || isOpen(request, nowMs));
  print(options, { requests: requests.map((request) => documentOf(request, nowMs)) }, [
    ...table([
      ['request', 'act', 'asked by', 'until', ''],
      ...requests.map((request) => [
        toHex(request.id),
        request.act,
        request.requester,
        time(request.expiresMs),
        stateOf(request, nowMs),
      ]),
    ]),
  ]);
}

async function show(text: string, options: DataOptions): Promise<void> {
  const request = await requestOf(text, options);
  print(options, documentOf(request, Date.now()), linesFor(request));
}

async function decide(text: string, decision: Decision, options: DecideOptions): Promise<void> {
  const request = await requestOf(text, options);
  if (options.dryRun === true) {
    print(options, { dryRun: true, decision, ...documentOf(request, Date.now()) }, [
      `Would say ${decision} to:`,
      ...linesFor(request),
    ]);
    return;
  }
  const { as: folder = options.operator } = options;
  if (folder === undefined) throw new CommandFailure('who says it? --as FOLDER', exitCodes.usage);
  const { name, signer } = await operatorOf(folder);
  const { document } = readSigned(nodeCrypto, request.signed, readRequest);
  const said = { installation: document.installation, request: request.id, decision, by: name };
  const signed = await signDocument(signer, encodeDecision({ ...said, atMs: Date.now() }));
  const decided = await withApprovals(options, async (desk) => allowed(await desk.decide(signed)));
  print(options, documentOf(decided, Date.now()), [
    ...linesFor(decided),
    ...(decision === 'approved'
      ? [`Whoever asked for it does it now, with --approval ${toHex(request.id)}`]
      : []),
  ]);
}

async function requestOf(text: string, options: DataOptions): Promise<RequestRecord> {
  const id = parseId(text);
  const request = await withApprovals(options, (desk) => desk.request(id));
  if (request === undefined) throw new CommandFailure(`no request ${text} is known here`);
  // Whatever the list says: what is shown is what was signed under this hash.
  const read = readSigned(nodeCrypto, request.signed, readRequest);
  if (toHex(read.id) !== toHex(id)) throw new CommandFailure(`request ${text} has another content`);
  return request;
}

function documentOf(request: RequestRecord, nowMs: number): object {
  const { document } = readSigned(nodeCrypto, request.signed, readRequest);
  const { decision } = request;
  return {
    approval: toHex(request.id),
    act: document.act,
    parameters: describe(readParameters(document.parameters)),
    requester: document.requester,
    requestedMs: document.requestedMs,
    expiresMs: document.expiresMs,
    state: stateOf(request, nowMs),
    decidedBy: decision?.by ?? null,
    decidedMs: decision?.atMs ?? null,
    spentMs: request.spentMs ?? null,
    doneMs: request.doneMs ?? null,
  };
}

function linesFor(request: RequestRecord): readonly string[] {
  const { document } = readSigned(nodeCrypto, request.signed, readRequest);
  const { decision } = request;
  const said = decision === undefined ? '' : ` by ${decision.by} at ${time(decision.atMs)}`;
  return [
    `${toHex(request.id)}: ${stateOf(request, Date.now())}${said}`,
    `${document.act}, asked for by ${document.requester} at ${time(document.requestedMs)}, until ${time(document.expiresMs)}`,
    ...linesOf(describe(readParameters(document.parameters))),
  ];
}

function isOpen(request: RequestRecord, nowMs: number): boolean {
  return ['waiting', 'approved', 'begun'].includes(stateOf(request, nowMs));
}

function stateOf({ decision, spentMs, doneMs, expiresMs }: RequestRecord, nowMs: number): string {
  if (doneMs !== undefined) return 'done';
  if (expiresMs <= nowMs) return 'expired';
  if (spentMs !== undefined) return 'begun';
  return decision?.decision ?? 'waiting';
}

function time(timeMs: number): string {
  return new Date(timeMs).toISOString();
}
