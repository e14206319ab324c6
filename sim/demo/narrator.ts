/** Tells a person what the demo does: a heading a step, a short line a fact, a bar for what takes long. */

const width = 28;

export class Narrator {
  readonly #startedMs = performance.now();
  readonly #color: boolean;
  #bar = false;
  #drawnMs = 0;

  constructor() {
    this.#color = process.stdout.isTTY && process.env['NO_COLOR'] === undefined;
  }

  title(text: string): void {
    this.#line(`\n${this.#style('1', text)}`);
  }

  step(number: number, text: string): void {
    this.#line(
      `\n${this.#style('1;36', `${number}. ${text}`)}  ${this.#style('2', this.#clock())}`,
    );
  }

  /** A plain fact. */
  say(text: string): void {
    this.#line(`   ${text}`);
  }

  /** Something that was checked and held. */
  proven(text: string): void {
    this.#line(`   ${this.#style('32', '✓')} ${text}`);
  }

  failed(text: string): void {
    this.#line(`   ${this.#style('31', '✗')} ${text}`);
  }

  /** Redrawn in place on a terminal; elsewhere one line when it is full. */
  progress(label: string, done: number, total: number, note = ''): void {
    const nowMs = performance.now();
    if (!process.stdout.isTTY) {
      if (done === total) this.#line(`   ${label} ${done}/${total} ${note}`);
      return;
    }
    if (done < total && nowMs - this.#drawnMs < 60) return;
    this.#drawnMs = nowMs;
    const filled = Math.round((width * Math.min(done, total)) / Math.max(1, total));
    const bar = '█'.repeat(filled) + '░'.repeat(width - filled);
    process.stdout.write(`\r\u001b[K   ${label} ${bar} ${done}/${total} ${note}`);
    this.#bar = true;
    if (done === total) this.#endBar();
  }

  #line(text: string): void {
    this.#endBar();
    process.stdout.write(`${text}\n`);
  }

  #endBar(): void {
    if (this.#bar) process.stdout.write('\n');
    this.#bar = false;
  }

  #clock(): string {
    return `+${((performance.now() - this.#startedMs) / 1000).toFixed(1)} s`;
  }

  #style(code: string, text: string): string {
    return this.#color ? `\u001b[${code}m${text}\u001b[0m` : text;
  }
}
