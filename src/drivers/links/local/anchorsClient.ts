/** How many devices were told of an authority, asked of the provisioner over its local socket. */
import { EnvironmentError, isRefusal } from '../../../trust/ports/faults.ts';
import type { Link } from '../../../trust/ports/link.ts';
import { toHex } from '../../../wire/bytes/hex.ts';
import { readAnswer } from './answers.ts';
import { linkTo, type Reach } from './localClient.ts';

export class AnchorsClient {
  readonly #client: Link;

  constructor(reach: Reach) {
    this.#client = linkTo(reach, 'provisioner');
  }

  close(): void {
    this.#client.close();
  }

  /** Rejects with an `EnvironmentError` when the provisioner cannot be reached. */
  async countTold(sha256: Uint8Array): Promise<number> {
    const body = JSON.stringify({ sha256: toHex(sha256) });
    const path = '/v1/anchors/told';
    const json = { contentType: 'application/json', body };
    const response = await this.#client.send({ method: 'POST', path, ...json });
    const outcome = readAnswer(response, (answer) => answer.number('devices'));
    if (!isRefusal(outcome)) return outcome;
    throw new EnvironmentError(`the provisioner refused: ${outcome.reason}`, { retryable: false });
  }
}
