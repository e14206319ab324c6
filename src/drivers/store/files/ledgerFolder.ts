/** Orders and tickets in a folder on another disk or machine: `orders.jsonl`, a JSON text a line, only growing. */
import { mkdir, open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { EnvironmentError } from '../../../trust/ports/faults.ts';
import type { LedgerLine, TicketLedger } from '../../../trust/ports/ticketLedger.ts';
import { parseHex, toHex } from '../../../wire/bytes/hex.ts';
import { MalformedError } from '../../../wire/bytes/malformed.ts';
import { type ProofLevel, proofLevels } from '../../../wire/line/ticket.ts';

export class LedgerFolder implements TicketLedger {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  async note(line: LedgerLine): Promise<void> {
    const path = join(this.#folder, fileName);
    try {
      await mkdir(this.#folder, { recursive: true, mode: 0o700 });
      const file = await open(path, 'a', 0o600);
      try {
        // Begins with a line end, so that a line that a crash has cut stays alone.
        await file.writeFile(`\n${JSON.stringify(textOf(line))}`);
        await file.sync();
      } finally {
        await file.close();
      }
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : 'unknown';
      throw new EnvironmentError(`cannot write ${path}: ${reason}`, { retryable: true, cause });
    }
  }
}

/** Oldest first. Rejects with an `EnvironmentError` where no ledger is, with a `MalformedError` for a broken one. */
export async function readLedger(folder: string): Promise<readonly LedgerLine[]> {
  let text: string;
  try {
    text = await readFile(join(folder, fileName), 'utf8');
  } catch (cause) {
    throw new EnvironmentError(`${folder} holds no ledger`, { retryable: false, cause });
  }
  return text.split('\n').flatMap((line) => {
    const value = jsonOf(line);
    // Cut by a crash: what it was about was never made.
    return value === undefined ? [] : [lineOf(value)];
  });
}

const fileName = 'orders.jsonl';

function textOf(line: LedgerLine): object {
  if (line.kind === 'ticket') return { ...line, ticketId: toHex(line.ticketId) };
  const { order, batches } = line;
  return {
    kind: 'order',
    ...order,
    eui64First: toHex(order.eui64First),
    serverIdentity: toHex(order.serverIdentity),
    batches: batches.map(({ batch, quantity }) => ({ batch, quantity })),
  };
}

function lineOf(value: unknown): LedgerLine {
  const read = new Members(value);
  const kind = read.text('kind');
  if (kind === 'ticket') {
    return {
      kind,
      ticketId: read.bytes('ticketId'),
      batch: read.text('batch'),
      count: read.number('count'),
      notAfterMs: read.number('notAfterMs'),
    };
  }
  if (kind !== 'order') throw new MalformedError('ledger', 0, `no line is a ${kind}`);
  return {
    kind,
    order: {
      order: read.text('order'),
      product: read.text('product'),
      family: read.text('family'),
      profile: read.text('profile'),
      hwType: read.text('hwType'),
      partNumber: read.text('partNumber'),
      quantity: read.number('quantity'),
      leastProof: read.proofLevel('leastProof'),
      eui64First: read.bytes('eui64First'),
      serverIdentity: read.bytes('serverIdentity'),
      createdMs: read.number('createdMs'),
    },
    batches: read.list('batches').map((batch) => {
      const members = new Members(batch);
      return { batch: members.text('batch'), quantity: members.number('quantity') };
    }),
  };
}

class Members {
  readonly #value: unknown;

  constructor(value: unknown) {
    this.#value = value;
  }

  text(name: string): string {
    const value = this.#member(name);
    return typeof value === 'string' ? value : fail(name);
  }

  number(name: string): number {
    const value = this.#member(name);
    return typeof value === 'number' && Number.isSafeInteger(value) ? value : fail(name);
  }

  bytes(name: string): Uint8Array {
    return parseHex(this.text(name)) ?? fail(name);
  }

  proofLevel(name: string): ProofLevel {
    const value = this.text(name);
    return proofLevels.find((level) => level === value) ?? fail(name);
  }

  list(name: string): readonly unknown[] {
    const value = this.#member(name);
    return Array.isArray(value) ? value : fail(name);
  }

  #member(name: string): unknown {
    const value = this.#value;
    return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;
  }
}

function fail(name: string): never {
  throw new MalformedError('ledger', 0, `${name} is none`);
}

function jsonOf(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
