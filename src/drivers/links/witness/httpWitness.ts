/** A witness somewhere else, asked over HTTP (C2SP tlog-witness). What it says counts by its signature. */
import { EnvironmentError } from '../../../trust/ports/faults.ts';
import type { WitnessAnswer, WitnessTarget } from '../../../trust/ports/witness.ts';
import { MalformedError } from '../../../wire/bytes/malformed.ts';

const timeoutMs = 10_000;
/** A few signature lines. */
const maximumAnswerBytes = 16_384;

export class HttpWitness implements WitnessTarget {
  readonly name: string;
  readonly #url: string;

  /** `prefix`: the submission prefix, http or https. Throws a `MalformedError` for anything else. */
  constructor(prefix: string) {
    const url = URL.parse(`${prefix.replace(/\/$/, '')}/add-checkpoint`);
    if (url === null || !['http:', 'https:'].includes(url.protocol)) {
      throw new MalformedError('witness', 0, `${prefix} is no address of a witness`);
    }
    this.name = prefix;
    this.#url = url.href;
  }

  async submit(body: Uint8Array): Promise<WitnessAnswer> {
    try {
      const response = await fetch(this.#url, {
        method: 'POST',
        body: Buffer.from(body),
        headers: { 'content-type': 'text/plain; charset=utf-8' },
        redirect: 'error',
        signal: AbortSignal.timeout(timeoutMs),
      });
      return this.#answerOf(response, await textOf(response));
    } catch (cause) {
      if (cause instanceof EnvironmentError) throw cause;
      const reason = cause instanceof Error ? cause.message : 'unknown';
      throw new EnvironmentError(`the witness ${this.name} cannot be reached: ${reason}`, {
        retryable: true,
        cause,
      });
    }
  }

  #answerOf(response: Response, text: string): WitnessAnswer {
    switch (response.status) {
      case 200:
        return { kind: 'accepted', cosignatures: text };
      case 409: {
        const size = /^(0|[1-9]\d{0,14})\n$/.exec(text)?.[1];
        if (size !== undefined) return { kind: 'conflict', size: Number(size) };
        break;
      }
      case 400:
        return { kind: 'refused', code: 'malformed', reason: 'It cannot read the submission.' };
      case 403:
        return {
          kind: 'refused',
          code: 'bad-signature',
          reason: 'It knows another key of this log.',
        };
      case 404:
        return { kind: 'refused', code: 'unknown-log', reason: 'It does not know this log.' };
      case 422:
        return {
          kind: 'refused',
          code: 'inconsistent',
          reason: 'It says that this log does not continue what it saw.',
        };
    }
    throw new EnvironmentError(`the witness ${this.name} answered ${response.status}`, {
      retryable: true,
    });
  }
}

async function textOf(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const piece of response.body ?? []) {
    const chunk: unknown = piece;
    if (!(chunk instanceof Uint8Array)) continue;
    length += chunk.length;
    if (length > maximumAnswerBytes) {
      throw new EnvironmentError('the witness answers without end', { retryable: true });
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}
