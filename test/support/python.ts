/**
 * Peers that are written in Python, in an environment of their own (`BIRTHMARK_PYTHON`, else .build/peers):
 * a process whose lines are JSON both ways.
 */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';

const program =
  process.env['BIRTHMARK_PYTHON'] ??
  fileURLToPath(new URL('../../.build/peers/bin/python', import.meta.url));

/** For the options of a test. */
export const needsPython: { readonly skip: string | false } = {
  skip: existsSync(program)
    ? false
    : 'needs Python with test/interop/python/requirements.txt (see .ci/run)',
};

export type Said = Readonly<Record<string, unknown>>;

export class PythonPeer {
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly #lines: AsyncIterator<string, undefined>;
  #errors = '';

  private constructor(script: string) {
    const file = fileURLToPath(new URL(`../interop/python/${script}`, import.meta.url));
    this.#child = spawn(program, [file], { stdio: ['pipe', 'pipe', 'pipe'] });
    this.#child.stderr.setEncoding('utf8').on('data', (text: string) => (this.#errors += text));
    // Whoever ended early is told about by `next`.
    this.#child.stdin.on('error', () => undefined);
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
  }

  /** Ends with the test. */
  static start(context: TestContext, script: string): PythonPeer {
    const peer = new PythonPeer(script);
    context.after(() => peer.#child.kill('SIGKILL'));
    return peer;
  }

  tell(document: Said): void {
    this.#child.stdin.write(`${JSON.stringify(document)}\n`);
  }

  async next(): Promise<Said> {
    const { done, value } = await this.#lines.next();
    if (done === true) throw new Error(`the peer ended: ${this.#errors.slice(-2_000)}`);
    return JSON.parse(value) as Said;
  }

  ask(document: Said): Promise<Said> {
    this.tell(document);
    return this.next();
  }
}
