/** `birthmark order`: what is to be personalized, how much of it is done, and its end. */
import { type Command, InvalidArgumentError } from 'commander';
import { readFile } from 'node:fs/promises';
import { AuthorityClient } from '../../../drivers/links/local/authorityClient.ts';
import type {
  ClosedBatch,
  OrderRequest,
  OrderView,
} from '../../../trust/ports/operatorAuthority.ts';
import { ProvisionerClient } from '../../../drivers/links/local/provisionerClient.ts';
import { EnvironmentError } from '../../../trust/ports/faults.ts';
import type { OrderRecord } from '../../../trust/ports/orderStore.ts';
import { toBase64 } from '../../../wire/bytes/base64.ts';
import { parseHex, toHex } from '../../../wire/bytes/hex.ts';
import { type ProofLevel, proofLevels } from '../../../wire/line/ticket.ts';
import {
  approvable,
  type ApprovableOptions,
  approvalDocument,
  ask,
  singleOperator,
  withApprovals,
  wouldAsk,
} from '../approving.ts';
import { everyEntry } from '../pages.ts';
import { reachable, type ReachOptions, reachOf } from '../reach.ts';
import {
  allowed,
  CommandFailure,
  exitCodes,
  type OutputOptions,
  print,
  table,
} from '../terminal.ts';

interface DataOptions extends OutputOptions, ReachOptions {}

interface CreateOptions extends ApprovableOptions {
  readonly product: string;
  readonly quantity: number;
  readonly family: string;
  readonly hwType: string;
  readonly partNumber?: string;
  readonly leastProof: ProofLevel;
  readonly profile?: string;
  readonly eui64?: Uint8Array;
  readonly serverIdentity?: string;
  readonly batch?: ReadonlyArray<{ readonly batch: string; readonly quantity: number }>;
  readonly dryRun?: boolean;
}

interface RaiseOptions extends ApprovableOptions {
  readonly by: number;
  readonly batch?: string;
  readonly dryRun?: boolean;
}

interface CloseOptions extends ApprovableOptions {
  readonly batch?: string;
  readonly dryRun?: boolean;
}

/** RFC 5612 §2: the enterprise number for documentation. A maker uses its own. */
const exampleHwType = '1.3.6.1.4.1.32473.1';

export function registerOrder(program: Command): void {
  const order = program.command('order').description('Orders of elements to be personalized');
  registerCreate(order);
  registerRaise(order);
  reachable(order.command('list').description('All orders, newest first'))
    .option('--json', 'one JSON document on stdout')
    .addHelpText(
      'after',
      '\nExamples:\n  birthmark order list\n  birthmark order list --server https://birthmark.example:8444 --operator ./ada',
    )
    .action(list);
  reachable(order.command('show <order>').description('An order with its batches and tickets'))
    .option('--json', 'one JSON document on stdout')
    .addHelpText('after', '\nExample:\n  birthmark order show 2026-07')
    .action(show);
  const about = 'Close its batches: manifest and yield report are made and signed';
  approvable(reachable(order.command('close <order>').description(about)))
    .option('--batch <name>', 'this batch alone')
    .option('--dry-run', 'say what would be closed')
    .option('--json', 'one JSON document on stdout')
    .addHelpText(
      'after',
      `
Example:
  birthmark order close 2026-07

A batch closes when its tickets are closed and every identity is released, scrapped or returned. What is
left of the quota is void. The provisioner takes in the manifest by itself.`,
    )
    .action(close);
}

function registerCreate(order: Command): void {
  const about = 'Order identities for so many elements';
  approvable(reachable(order.command('create <order>').description(about)))
    .requiredOption('--product <name>', 'what the elements will be part of')
    .requiredOption('--quantity <n>', 'how many', whole)
    .option('--family <name>', 'element family', 'software')
    .option('--hw-type <oid>', 'OID of the kind of hardware (RFC 4108)', exampleHwType)
    .option('--part-number <text>', 'what the manifest calls the part (default: the product)')
    .option('--least-proof <level>', proofLevels.join(', '), proofLevel, 'line-anchored')
    .option('--profile <name>', 'what elements are born with (default: idevid)')
    .option('--eui64 <hex>', 'first EUI-64 of the range (default: the next free one)', eui64)
    .option('--server-identity <file>', "the server's EDHOC credential (default: this server's)")
    .option('--batch <name=n...>', 'batches of the order (default: one of its name)', batches)
    .option('--dry-run', 'say what would be ordered')
    .option('--json', 'one JSON document on stdout')
    .addHelpText(
      'after',
      `
Examples:
  birthmark order create 2026-07 --product th-sensor --quantity 1000
  birthmark order create 2026-08 --product th-sensor --quantity 8000 --batch reel-1=4000 --batch reel-2=4000
  birthmark order create 2026-09 --product bulb --quantity 500 --profile matter-dac`,
    )
    .action(create);
}

function registerRaise(order: Command): void {
  approvable(reachable(order.command('raise <order>').description('Order more of the same')))
    .requiredOption('--by <n>', 'how many more', whole)
    .option('--batch <name>', 'batch of the order that grows (default: the one of its name)')
    .option('--dry-run', 'say what would be ordered')
    .option('--json', 'one JSON document on stdout')
    .addHelpText(
      'after',
      `
Example:
  birthmark order raise 2026-07 --by 500

Tickets that were issued stay as they are: birthmark ticket issue makes another one. An order grows into the
addresses behind its own; where they are another order's it is refused, and an order more is placed.`,
    )
    .action(raise);
}

async function raise(name: string, options: RaiseOptions): Promise<void> {
  const request = { order: name, batch: options.batch ?? name, by: options.by };
  const { batch, by } = request;
  if (options.dryRun === true) {
    const would = await wouldAsk(options, 'order.raise', request);
    print(options, { dryRun: true, ...request, ...would.document }, [
      `Would order ${by} identities more in batch ${batch} of ${name}.`,
      ...would.lines,
    ]);
    return;
  }
  const asked = await ask(options, 'order.raise', () => request);
  if (asked === undefined) return;
  const order = await withAuthority(options, async (authority) =>
    allowed(await authority.raiseOrder(request, asked.approval)),
  );
  print(options, { ...orderDocument(order), ...approvalDocument(asked) }, [
    ...(asked.alone ? [singleOperator] : []),
    `Order ${order.order}: ${order.quantity} × ${order.product} now.`,
    `Next: birthmark ticket issue ${batch} --count N --station FOLDER`,
  ]);
}

async function create(name: string, options: CreateOptions): Promise<void> {
  const request: OrderRequest = {
    order: name,
    product: options.product,
    family: options.family,
    hwType: options.hwType,
    partNumber: options.partNumber ?? options.product,
    quantity: options.quantity,
    leastProof: options.leastProof,
    ...(options.profile === undefined ? {} : { profile: options.profile }),
    ...(options.eui64 === undefined ? {} : { eui64First: options.eui64 }),
    ...(options.serverIdentity === undefined
      ? {}
      : { serverIdentity: new Uint8Array(await readFile(options.serverIdentity)) }),
    ...(options.batch === undefined ? {} : { batches: options.batch }),
  };
  if (options.dryRun === true) {
    const would = await wouldAsk(options, 'order.create', request);
    print(options, { dryRun: true, order: name, quantity: options.quantity, ...would.document }, [
      `Would order ${options.quantity} identities of ${options.product} as ${name}.`,
      ...would.lines,
    ]);
    return;
  }
  const asked = await ask(options, 'order.create', () => request);
  if (asked === undefined) return;
  const order = await withAuthority(options, async (authority) =>
    allowed(await authority.createOrder(request, asked.approval)),
  );
  print(options, { ...orderDocument(order), ...approvalDocument(asked) }, [
    ...(asked.alone ? [singleOperator] : []),
    `Order ${order.order}: ${order.quantity} × ${order.product}, EUI-64 from ${toHex(order.eui64First)}.`,
    `Next: birthmark ticket issue ${options.batch?.[0]?.batch ?? name} --count N --station FOLDER`,
  ]);
}

async function list(options: DataOptions): Promise<void> {
  const orders = await withAuthority(options, (authority) =>
    everyEntry(
      (limit, before: string | undefined) => authority.orders(limit, before),
      ({ order }) => order,
    ),
  );
  print(options, { orders: orders.map(orderDocument) }, [
    ...table([
      ['order', 'product', 'quantity', 'ordered'],
      ...orders.map(({ order, product, quantity, createdMs }) => [
        order,
        product,
        String(quantity),
        new Date(createdMs).toISOString(),
      ]),
    ]),
  ]);
}

async function show(name: string, options: DataOptions): Promise<void> {
  const { order, batches, tickets } = await viewOf(name, options);
  const document = {
    ...orderDocument(order),
    batches,
    tickets: tickets.map((ticket) => ({
      ticketId: toHex(ticket.ticketId),
      batch: ticket.batch,
      count: ticket.count,
      taken: ticket.taken,
      notBeforeMs: ticket.notBeforeMs,
      notAfterMs: ticket.notAfterMs,
      closedMs: ticket.closedMs ?? null,
    })),
  };
  print(options, document, [
    `Order ${order.order}: ${order.quantity} × ${order.product} (${order.family}), profile ${order.profile}, at least ${order.leastProof}.`,
    ...table([
      ['batch', 'quantity', 'state'],
      ...batches.map(({ batch, quantity, closedMs }) => [
        batch,
        String(quantity),
        closedMs === undefined ? 'open' : 'closed',
      ]),
    ]),
    ...table([
      ['ticket', 'batch', 'made', 'of', 'state'],
      ...tickets.map(({ ticketId, batch, taken, count, closedMs }) => [
        toHex(ticketId),
        batch,
        String(taken),
        String(count),
        closedMs === undefined ? 'open' : 'closed',
      ]),
    ]),
  ]);
}

async function close(name: string, options: CloseOptions): Promise<void> {
  const { batches } = await viewOf(name, options);
  const wanted = batches.filter(
    ({ batch }) => options.batch === undefined || batch === options.batch,
  );
  const [first] = wanted;
  if (first === undefined) throw new CommandFailure(`order ${name} has no batch ${options.batch}`);
  if (options.dryRun === true) {
    const would = await wouldAsk(options, 'batch.close', { batch: first.batch });
    const batches = wanted.map(({ batch }) => batch);
    print(options, { dryRun: true, order: name, batches, ...would.document }, [
      `Would close ${batches.join(', ')}.`,
      ...would.lines,
    ]);
    return;
  }
  if (wanted.length > 1 && (await withApprovals(options, (desk) => desk.mode())) !== undefined) {
    throw new CommandFailure('two persons release one batch at a time: --batch', exitCodes.usage);
  }
  const asked = await ask(options, 'batch.close', () => ({ batch: first.batch }));
  if (asked === undefined) return;
  const closed = await withAuthority(options, async (authority) => {
    const results: ClosedBatch[] = [];
    for (const { batch } of wanted) {
      results.push(allowed(await authority.closeBatch(batch, asked.approval)));
    }
    return results;
  });
  const taken = await takenIn(options);
  const document = { order: name, batches: closed, takenIn: taken, ...approvalDocument(asked) };
  print(options, document, [
    ...table([
      ['batch', 'released', 'scrapped', 'returned', 'void', 'manifest'],
      ...closed.map(({ batch, counts, void: unused, manifest }) => [
        batch,
        String(counts.released),
        String(counts.scrapped),
        String(counts.returned),
        String(unused),
        manifest,
      ]),
    ]),
    taken
      ? 'The elements are known devices now.'
      : 'The provisioner takes the manifest in when it runs again.',
  ]);
}

/** The provisioner looks by itself now and then; asked now, the elements may be switched on at once. */
async function takenIn(options: DataOptions): Promise<boolean> {
  const provisioner = new ProvisionerClient(reachOf(options, 'provisioner'));
  try {
    allowed(await provisioner.pullManifests());
    return true;
  } catch (error) {
    if (error instanceof EnvironmentError) return false;
    throw error;
  } finally {
    provisioner.close();
  }
}

async function viewOf(name: string, options: DataOptions): Promise<OrderView> {
  const view = await withAuthority(options, (authority) => authority.order(name));
  if (view === undefined) throw new CommandFailure(`no order of the name ${name}`);
  return view;
}

/** Also for the other commands of the operator. */
export async function withAuthority<Value>(
  options: ReachOptions,
  use: (authority: AuthorityClient) => Promise<Value>,
): Promise<Value> {
  const authority = new AuthorityClient(reachOf(options, 'authority'));
  try {
    return await use(authority);
  } finally {
    authority.close();
  }
}

function orderDocument(order: OrderRecord): object {
  return {
    ...order,
    eui64First: toHex(order.eui64First),
    serverIdentity: toBase64(order.serverIdentity),
  };
}

/** A whole number from 1; also for the other commands of the operator. */
export function whole(text: string): number {
  const value = /^[1-9]\d{0,8}$/.test(text) ? Number(text) : 0;
  if (value === 0) throw new InvalidArgumentError('a whole number from 1 is expected');
  return value;
}

function eui64(text: string): Uint8Array {
  const bytes = parseHex(text);
  if (bytes?.length !== 8) throw new InvalidArgumentError('16 hexadecimal digits are expected');
  return bytes;
}

function proofLevel(text: string): ProofLevel {
  const level = proofLevels.find((candidate) => candidate === text);
  if (level === undefined) throw new InvalidArgumentError(`one of ${proofLevels.join(', ')}`);
  return level;
}

function batches(
  text: string,
  before: NonNullable<CreateOptions['batch']> = [],
): NonNullable<CreateOptions['batch']> {
  const [, batch, quantity] = /^([^=]+)=(\d+)$/.exec(text) ?? [];
  if (batch === undefined || quantity === undefined) {
    throw new InvalidArgumentError('name=quantity is expected');
  }
  return [...before, { batch, quantity: whole(quantity) }];
}
