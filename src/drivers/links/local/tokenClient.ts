/** The provisioner's desk for tokens, reached over its local socket. */
import type { Refusal } from '../../../trust/ports/faults.ts';
import type { TokenRecord } from '../../../trust/ports/tokenStore.ts';
import type { Link, LinkRequest } from '../../../trust/ports/link.ts';
import { type Answer, readAnswer } from './answers.ts';
import { linkTo, type Reach } from './localClient.ts';

export class TokenClient {
  readonly #client: Link;

  constructor(reach: Reach) {
    this.#client = linkTo(reach, 'provisioner');
  }

  close(): void {
    this.#client.close();
  }

  create(
    holder: string,
    lifetimeMs: number,
  ): Promise<(TokenRecord & { readonly token: string }) | Refusal<string>> {
    return this.#send({ method: 'POST', path: '/v1/tokens' }, { holder, lifetimeMs }, (answer) => ({
      ...readToken(answer),
      token: answer.text('token'),
    }));
  }

  /** A page, newest first; those older than the token `before`. */
  tokens(limit: number, before?: number): Promise<readonly TokenRecord[] | Refusal<string>> {
    const path = `/v1/tokens?limit=${limit}${before === undefined ? '' : `&before=${before}`}`;
    return this.#send({ method: 'GET', path }, undefined, (answer) =>
      answer.answers('tokens').map(readToken),
    );
  }

  revoke(id: number): Promise<undefined | Refusal<string>> {
    return this.#send({ method: 'POST', path: '/v1/tokens/revoke' }, { id }, () => undefined);
  }

  async #send<Value>(
    request: LinkRequest,
    body: object | undefined,
    read: (answer: Answer) => Value,
  ): Promise<Value | Refusal<string>> {
    const json =
      body === undefined ? {} : { contentType: 'application/json', body: JSON.stringify(body) };
    return readAnswer(await this.#client.send({ ...request, ...json }), read);
  }
}

function readToken(answer: Answer): TokenRecord {
  return {
    id: answer.number('id'),
    holder: answer.text('holder'),
    createdMs: answer.number('createdMs'),
    expiresMs: answer.number('expiresMs'),
    revokedMs: answer.optionalNumber('revokedMs'),
  };
}
