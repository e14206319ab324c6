/**
 * The security log as files: `refusals.jsonl`, a JSON object a line, and the older ones numbered. The same
 * refusal within a second is one line with a count, so that a flood costs neither disk nor what was
 * written before it.
 */
import { appendFileSync, mkdirSync, renameSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock } from '../../../trust/ports/clock.ts';
import type { RefusalNote, SecurityLog } from '../../../trust/ports/securityLog.ts';

export interface SecurityLogOptions {
  readonly folder: string;
  readonly clock: Clock;
  /** A file that is larger is put aside. Default 8 MiB. */
  readonly fileBytes?: number;
  /** Files put aside that are kept. Default 8. */
  readonly files?: number;
  /** The disk failed; told once until it works again. */
  readonly onTrouble: (error: unknown) => void;
}

const writeEveryMs = 1_000;
/** Different refusals between two writings; what is beyond is counted together. */
const maximumKinds = 1_000;
const maximumTextCharacters = 300;

interface Counted {
  readonly note: RefusalNote;
  readonly atMs: number;
  count: number;
}

export class SecurityLogFolder implements SecurityLog {
  readonly #options: SecurityLogOptions;
  readonly #timer: NodeJS.Timeout;
  #waiting = new Map<string, Counted>();
  #failed = false;

  constructor(options: SecurityLogOptions) {
    this.#options = options;
    this.#timer = setInterval(() => this.write(), writeEveryMs);
    this.#timer.unref();
  }

  note(refusal: RefusalNote): void {
    const { door, code, reason = '', subject = '' } = refusal;
    const exact = JSON.stringify([door, code, reason, subject]);
    const crowded = this.#waiting.size >= maximumKinds && !this.#waiting.has(exact);
    const note = crowded ? { door, code } : refusal;
    const id = crowded ? JSON.stringify([door, code]) : exact;
    const known = this.#waiting.get(id);
    if (known === undefined) {
      this.#waiting.set(id, { note, atMs: this.#options.clock.nowMs(), count: 1 });
    } else {
      known.count += 1;
    }
  }

  /** Writes what waits; done every second by itself. */
  write(): void {
    if (this.#waiting.size === 0) return;
    const lines = [...this.#waiting.values()].map(lineOf).join('');
    try {
      mkdirSync(this.#options.folder, { recursive: true, mode: 0o700 });
      this.#rotate(Buffer.byteLength(lines));
      appendFileSync(this.#pathOf(0), lines, { mode: 0o600 });
      this.#waiting = new Map();
      this.#failed = false;
    } catch (error) {
      // Kept and counted on until the disk works again; memory stays bounded by the number of kinds.
      if (!this.#failed) this.#options.onTrouble(error);
      this.#failed = true;
    }
  }

  close(): void {
    clearInterval(this.#timer);
    this.write();
  }

  #rotate(moreBytes: number): void {
    const { fileBytes = 8 * 1024 * 1024, files = 8 } = this.#options;
    if (sizeOf(this.#pathOf(0)) + moreBytes <= fileBytes) return;
    for (let number = files - 1; number >= 0; number--) {
      if (sizeOf(this.#pathOf(number)) > 0)
        renameSync(this.#pathOf(number), this.#pathOf(number + 1));
    }
  }

  #pathOf(number: number): string {
    return join(this.#options.folder, number === 0 ? 'refusals.jsonl' : `refusals.${number}.jsonl`);
  }
}

function lineOf({ note, atMs, count }: Counted): string {
  const { door, code, reason, subject } = note;
  const line = {
    at: new Date(atMs).toISOString(),
    door,
    code,
    ...(subject === undefined ? {} : { subject: subject.slice(0, maximumTextCharacters) }),
    ...(reason === undefined ? {} : { reason: reason.slice(0, maximumTextCharacters) }),
    count,
  };
  return `${JSON.stringify(line)}\n`;
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}
