/** The authority's enrolment desk, reached over its local socket. */
import type { AnchorDecision, ForeignDesk } from '../../../trust/ports/enrolmentDesk.ts';
import { EnvironmentError, isRefusal, type Refusal } from '../../../trust/ports/faults.ts';
import type { ForeignAnchor } from '../../../trust/ports/foreignStore.ts';
import { toBase64 } from '../../../wire/bytes/base64.ts';
import { toHex } from '../../../wire/bytes/hex.ts';
import { type Answer, readAnswer } from './answers.ts';
import { LocalClient } from './localClient.ts';

export class DeskClient implements ForeignDesk {
  readonly #client: LocalClient;

  constructor(socketPath: string) {
    this.#client = new LocalClient(socketPath, 'authority');
  }

  close(): void {
    this.#client.close();
  }

  pin({ product, certificate, count }: AnchorDecision): Promise<ForeignAnchor | Refusal<string>> {
    const body = { product, certificate: toBase64(certificate), count };
    return this.#post('/v1/foreign-anchors', body, readAnchor);
  }

  retire(product: string, sha256: Uint8Array): Promise<undefined | Refusal<string>> {
    const body = { product, sha256: toHex(sha256) };
    return this.#post('/v1/foreign-anchors/retire', body, () => undefined);
  }

  anchors(): Promise<readonly ForeignAnchor[]> {
    return this.#get('/v1/foreign-anchors', (answer) => answer.answers('anchors').map(readAnchor));
  }

  async #get<Value>(path: string, read: (answer: Answer) => Value): Promise<Value> {
    const outcome = readAnswer(await this.#client.send({ method: 'GET', path }), read);
    if (!isRefusal(outcome)) return outcome;
    const { reason, refused } = outcome;
    throw new EnvironmentError(`the authority refused: ${reason} [${refused}]`, {
      retryable: false,
    });
  }

  async #post<Value>(
    path: string,
    body: object,
    read: (answer: Answer) => Value,
  ): Promise<Value | Refusal<string>> {
    const json = { contentType: 'application/json', body: JSON.stringify(body) };
    return readAnswer(await this.#client.send({ method: 'POST', path, ...json }), read);
  }
}

function readAnchor(answer: Answer): ForeignAnchor {
  return {
    product: answer.text('product'),
    certificate: answer.base64('certificate'),
    sha256: answer.hex('sha256'),
    count: answer.number('count'),
    taken: answer.number('taken'),
    pinnedMs: answer.number('pinnedMs'),
    retiredMs: answer.optionalNumber('retiredMs'),
  };
}
