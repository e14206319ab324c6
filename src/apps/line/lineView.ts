/**
 * Shows a running line: redrawn in place for a person at a terminal, a line every few seconds in a log,
 * JSON lines for a program. Whatever needs a person (scrap, held elements, a lost network) gets a line of
 * its own at once.
 */
import type { LineEvent, LineSummary } from '../../trust/line/station.ts';
import { toHex } from '../../wire/bytes/hex.ts';
import { Progress } from '../cli/terminal.ts';
import type { RunningLine } from './line.ts';

const redrawMs = 100;
const jsonMs = 250;
const logMs = 3_000;
const noticedClockS = 300;

export class LineView {
  readonly #json: boolean;
  #startedMs = performance.now();
  #line: RunningLine | undefined;
  #progress: Progress | undefined;
  #timer: NodeJS.Timeout | undefined;
  #network = '';

  constructor(json: boolean) {
    this.#json = json;
  }

  begin(line: RunningLine): void {
    this.#line = line;
    this.#startedMs = performance.now();
    const { order, batch, count } = line.ticket;
    this.#note(`Order ${order}, batch ${batch}: ${line.elements} elements, ticket for ${count}.`);
    this.#progress = new Progress('personalized', Math.min(line.elements, count));
    const everyMs = this.#json ? jsonMs : process.stderr.isTTY ? redrawMs : logMs;
    this.#timer = setInterval(() => this.#tick(), everyMs);
    this.#timer.unref();
  }

  tell(event: LineEvent): void {
    switch (event.event) {
      case 'opened':
        this.#compareClocks(event.opening.nowS);
        return;
      case 'unit':
        this.#tellUnit(event.uid, event.outcome);
        return;
      case 'unreadable':
        this.#incident({ event: 'unreadable', reason: event.reason }, event.reason);
        return;
      case 'disputed': {
        const { reason } = event;
        const uid = toHex(event.uid);
        this.#incident({ event: 'disputed', uid, reason }, `${uid} disputed: ${reason}`);
        return;
      }
      case 'network':
        this.#tellNetwork(event.trouble);
    }
  }

  end(summary: LineSummary): void {
    this.stop();
    const { counts, halted } = summary;
    const durationMs = Math.round(performance.now() - this.#startedMs);
    const perSecond = this.#perSecond(counts.verified);
    if (this.#json) {
      const { inFlight: _, ...totals } = counts;
      this.#write({ event: 'finished', ...totals, perSecond, durationMs, halted: halted ?? null });
      return;
    }
    const seconds = (durationMs / 1000).toFixed(1);
    process.stdout.write(
      `${counts.verified} verified and locked in ${seconds} s (${perSecond}/s), ` +
        `${counts.scrapped} scrapped, ${counts.held} held, ${counts.passed} finished before` +
        `${counts.unreadable > 0 ? `, ${counts.unreadable} not to be contacted` : ''}.\n`,
    );
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#progress?.end();
  }

  /** Nothing here depends on the station's clock; its logs and its certificate's dates do. */
  #compareClocks(authorityS: number): void {
    const offS = Math.round(Date.now() / 1000 - authorityS);
    if (Math.abs(offS) < noticedClockS) return;
    const line = `The clock of this station is ${Math.abs(offS)} s ${offS > 0 ? 'ahead' : 'behind'}.`;
    this.#incident({ event: 'clock', offS }, line);
  }

  #tellUnit(
    uid: Uint8Array,
    outcome: Extract<LineEvent, { readonly event: 'unit' }>['outcome'],
  ): void {
    const name = toHex(uid);
    if (outcome.result === 'scrapped') {
      const { reason } = outcome.record;
      this.#incident({ event: 'scrapped', uid: name, reason }, `${name} scrapped: ${reason}`);
    } else if (outcome.result === 'held') {
      const { reason } = outcome;
      this.#incident({ event: 'held', uid: name, reason }, `${name} held: ${reason}`);
    }
  }

  #tellNetwork(trouble: Extract<LineEvent, { readonly event: 'network' }>['trouble']): void {
    if (trouble === undefined) {
      this.#network = '';
      this.#incident({ event: 'network', back: true }, 'The network is back.');
      return;
    }
    const { step, reason, retryInMs } = trouble;
    this.#network = ' · waiting for the network';
    const seconds = (retryInMs / 1000).toFixed(1);
    this.#incident(
      { event: 'network', back: false, step, reason, retryInMs },
      `Waiting for the network (${step}): ${reason}. Next try in ${seconds} s.`,
    );
  }

  #tick(): void {
    if (this.#line === undefined) return;
    const { verified, scrapped, held, passed, inFlight } = this.#line.counts;
    if (this.#json) {
      const perSecond = this.#perSecond(verified);
      this.#write({ event: 'progress', verified, scrapped, held, passed, inFlight, perSecond });
      return;
    }
    const note = `${this.#yield()}${scrapped} scrapped, ${held} held, ${inFlight} in flight`;
    if (process.stderr.isTTY) this.#progress?.update(verified + passed, note + this.#network);
    else {
      const rate = this.#perSecond(verified);
      this.#note(`${verified + passed} personalized, ${rate}/s, ${note}${this.#network}`);
    }
  }

  #perSecond(verified: number): number {
    const seconds = (performance.now() - this.#startedMs) / 1000;
    return Math.round((10 * verified) / Math.max(seconds, 0.001)) / 10;
  }

  /** Of those that came to an end in this run. */
  #yield(): string {
    const { verified = 0, scrapped = 0 } = this.#line?.counts ?? {};
    const ended = verified + scrapped;
    return ended === 0 ? '' : `yield ${((100 * verified) / ended).toFixed(1)} %, `;
  }

  #incident(document: object, line: string): void {
    if (this.#json) this.#write(document);
    else this.#note(line);
  }

  #note(line: string): void {
    if (this.#json) return;
    this.#progress?.end();
    process.stderr.write(`${line}\n`);
  }

  #write(document: object): void {
    process.stdout.write(`${JSON.stringify(document)}\n`);
  }
}
