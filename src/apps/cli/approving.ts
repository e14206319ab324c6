/**
 * What every command has in common whose act takes two persons: it is asked for with `--as`, approved by
 * somebody else, and done with `--approval`. Where one person is enough it is simply done.
 */
import type { Command } from 'commander';
import { nodeCrypto } from '../../drivers/keys/software/nodeCrypto.ts';
import { ApprovalClient } from '../../drivers/links/local/approvalClient.ts';
import {
  type ActKind,
  actRules,
  type ActRequests,
  encodeParameters,
  type Plain,
  readParameters,
} from '../../trust/approvals/acts.ts';
import {
  encodeRequest,
  readRequest,
  readSigned,
  signDocument,
} from '../../trust/approvals/documents.ts';
import type { ApprovalDeskPort } from '../../trust/ports/approvalDesk.ts';
import type { RequestRecord, TwoPersonMode } from '../../trust/ports/approvalStore.ts';
import { EnvironmentError } from '../../trust/ports/faults.ts';
import { parseHex, toHex } from '../../wire/bytes/hex.ts';
import { openApprovalOffice } from '../authority/approvalOffice.ts';
import { readStoreSetting } from '../storeSetting.ts';
import { operatorOf, type ReachOptions, reachOf } from './reach.ts';
import { allowed, CommandFailure, exitCodes, type OutputOptions, print } from './terminal.ts';

export interface ApprovableOptions extends OutputOptions, ReachOptions {
  readonly store?: string;
  /** Folder of the operator who asks; whoever calls, unless told. */
  readonly as?: string;
  /** SHA-256 of the approved request, hexadecimal. */
  readonly approval?: string;
  /** Where `--approval` means something else. */
  readonly approvalFlag?: string;
}

/** An act that may be tried: the authority decides. */
export interface Asked<Kind extends ActKind> {
  readonly request: ActRequests[Kind];
  readonly approval: Uint8Array | undefined;
  /** One person is enough here, and everybody should know. */
  readonly alone: boolean;
}

/** Said wherever one person does what should take two. */
export const singleOperator =
  'SINGLE-OPERATOR MODE, for evaluation: one person orders, allows and closes. birthmark ca two-person ends it.';

const lifetimeMs = 7 * 86_400_000;

/** Adds the options; the command has `--data`. */
export function approvable(command: Command): Command {
  return command
    .option(
      '--as <folder>',
      'folder of the operator who asks, where two are needed (default: --operator)',
    )
    .option('--approval <id>', 'the request that another operator has approved');
}

/**
 * The act with what allows it. `make` gets the moment that times count from: now, or that of the approved
 * request. `undefined` when the act was asked for and waits: that has been said, and the command ends.
 */
export async function ask<Kind extends ActKind>(
  options: ApprovableOptions,
  kind: Kind,
  make: (atMs: number) => ActRequests[Kind],
): Promise<Asked<Kind> | undefined> {
  return withApprovals(options, async (desk) => {
    const mode = await desk.mode();
    const nowMs = Date.now();
    if (mode === undefined) return { request: make(nowMs), approval: undefined, alone: true };
    if (options.approval !== undefined) {
      const { id, requestedMs } = await known(desk, options.approval);
      return { request: make(requestedMs), approval: id, alone: false };
    }
    const request = make(nowMs);
    const record = await submit(desk, mode, { options, kind, request, nowMs });
    if (actRules[kind].approvers === undefined) {
      return { request, approval: record.id, alone: false };
    }
    tellWaiting(options, record);
    return undefined;
  });
}

/**
 * For what is done before its approval is asked for: where two are needed, somebody has to be named. Throws
 * what `ask` would throw.
 */
export async function requireAsker(options: ApprovableOptions, kind: ActKind): Promise<void> {
  const mode = await withApprovals(options, (desk) => desk.mode());
  if (mode !== undefined && options.approval === undefined) askerOf(options, kind);
}

/** For `--dry-run`: what would be asked for; nothing where one person is enough or nobody can say. */
export async function wouldAsk<Kind extends ActKind>(
  options: ApprovableOptions,
  kind: Kind,
  request: ActRequests[Kind],
): Promise<{ readonly document: object; readonly lines: readonly string[] }> {
  let mode: TwoPersonMode | undefined;
  try {
    mode = await withApprovals(options, (desk) => desk.mode());
  } catch (error) {
    if (!(error instanceof EnvironmentError)) throw error;
    return { document: {}, lines: [] };
  }
  if (mode === undefined) return { document: { alone: true }, lines: [singleOperator] };
  const parameters = describe(readParameters(encodeParameters(request)));
  const second = actRules[kind].approvers?.join(' or ');
  return {
    document: { request: { act: kind, parameters } },
    lines: [
      `Would ask for ${kind}${second === undefined ? '' : `, to be approved by ${second}`}:`,
      ...linesOf(parameters),
    ],
  };
}

/** For JSON output: who allowed it. */
export function approvalDocument({ approval, alone }: Asked<ActKind>): object {
  return alone ? { mode: 'single-operator' } : { approval: approval && toHex(approval) };
}

/** The authority where it runs, else its stores. */
export async function withApprovals<Value>(
  options: ReachOptions & { readonly store?: string | undefined },
  use: (desk: ApprovalDeskPort) => Promise<Value>,
): Promise<Value> {
  const { data, store: address, server } = options;
  const client = new ApprovalClient(reachOf(options, 'authority'));
  try {
    await client.mode();
  } catch (error) {
    client.close();
    if (server !== undefined || !(error instanceof EnvironmentError) || !error.retryable)
      throw error;
    const store = readStoreSetting(address);
    const clock = { nowMs: Date.now };
    const office = await openApprovalOffice({ dataFolder: data, clock, store });
    try {
      return await use(office.desk);
    } finally {
      await office.close();
    }
  }
  try {
    return await use(client);
  } finally {
    client.close();
  }
}

/** Parameters of an act as JSON has them: bytes in hexadecimal, long ones by their SHA-256. */
export function describe(value: Plain): unknown {
  if (value instanceof Uint8Array) {
    if (value.length <= longestShown) return toHex(value);
    return `sha256:${toHex(nodeCrypto.hash('SHA-256', value))}`;
  }
  if (Array.isArray(value)) return value.map(describe);
  if (typeof value !== 'object') return value;
  const members = Object.entries(value).map(([name, member]) => [name, describe(member)] as const);
  return Object.fromEntries(members);
}

/** A member a line; JSON, so that no text of an act reaches the terminal as it is. */
export function linesOf(parameters: unknown): readonly string[] {
  if (typeof parameters !== 'object' || parameters === null) return [];
  return Object.entries(parameters).map(([name, value]) => `  ${name}: ${JSON.stringify(value)}`);
}

export function parseId(text: string): Uint8Array {
  const id = parseHex(text.toLowerCase());
  if (id?.length === 32) return id;
  throw new CommandFailure('a request is named by its SHA-256, 64 digits', exitCodes.usage);
}

const longestShown = 64;

async function known(
  desk: ApprovalDeskPort,
  text: string,
): Promise<{ readonly id: Uint8Array; readonly requestedMs: number }> {
  const id = parseId(text);
  const record = await desk.request(id);
  if (record === undefined) throw new CommandFailure(`no request ${text} is known here`);
  return {
    id,
    requestedMs: readSigned(nodeCrypto, record.signed, readRequest).document.requestedMs,
  };
}

async function submit<Kind extends ActKind>(
  desk: ApprovalDeskPort,
  { installation }: TwoPersonMode,
  asked: {
    readonly options: ApprovableOptions;
    readonly kind: Kind;
    readonly request: ActRequests[Kind];
    readonly nowMs: number;
  },
): Promise<RequestRecord> {
  const { options, kind, request, nowMs } = asked;
  const { name, signer } = await operatorOf(askerOf(options, kind));
  const document = encodeRequest({
    installation,
    act: kind,
    parameters: encodeParameters(request),
    requester: name,
    requestedMs: nowMs,
    expiresMs: nowMs + lifetimeMs,
    nonce: nodeCrypto.random(16),
  });
  return allowed(await desk.submit(await signDocument(signer, document)));
}

/** Folder of the operator who asks. */
function askerOf({ as, operator }: ApprovableOptions, kind: ActKind): string {
  const folder = as ?? operator;
  if (folder !== undefined) return folder;
  throw new CommandFailure(
    `${kind} takes two persons here: ask for it with --as FOLDER`,
    exitCodes.approval,
  );
}

function tellWaiting(options: ApprovableOptions, { id, act, expiresMs }: RequestRecord): void {
  const text = toHex(id);
  const { data, server } = options;
  const usual = data === './birthmark-data' ? '' : ` --data ${data}`;
  const where = server === undefined ? usual : ` --server ${server.origin}`;
  print(options, { waiting: true, approval: text, act, expiresMs }, [
    `${act} waits for a second person, until ${new Date(expiresMs).toISOString()}:`,
    `  birthmark approval show ${text}${where}`,
    `  birthmark approval approve ${text} --as FOLDER${where}`,
    `Then the same command once more, with ${options.approvalFlag ?? '--approval'} ${text}`,
  ]);
  process.exitCode = exitCodes.approval;
}
