/** Credentials of session servers from the authority, over its local socket. */
import { isRefusal, type Refusal, refuse } from '../../../trust/ports/faults.ts';
import type {
  CredentialStanding,
  FloorDesk,
  FloorView,
  ServerGenerations,
  SessionServerAuthority,
  SessionServerCredential,
  SessionServerRequest,
} from '../../../trust/ports/sessionServerAuthority.ts';
import type { Link, LinkRequest } from '../../../trust/ports/link.ts';
import { toBase64 } from '../../../wire/bytes/base64.ts';
import { allowed, type Answer, readAnswer } from './answers.ts';
import { linkTo, type Reach } from './localClient.ts';

const prefix = '/v1/session-servers';

export class SessionServerClient implements SessionServerAuthority, FloorDesk {
  readonly #client: Link;

  constructor(reach: Reach) {
    this.#client = linkTo(reach, 'authority');
  }

  close(): void {
    this.#client.close();
  }

  async openProof(): Promise<Uint8Array> {
    return allowed(await this.#post('proof', {}, (answer) => answer.base64('challenge')));
  }

  issueSessionServer(
    asked: SessionServerRequest,
  ): Promise<SessionServerCredential | Refusal<string>> {
    const { name, form, request, challenge } = asked;
    const body = {
      name,
      form,
      request: toBase64(request),
      ...(challenge === undefined ? {} : { challenge: toBase64(challenge) }),
    };
    return this.#post('credentials', body, (answer) => ({
      certificate: answer.base64('certificate'),
      generation: answer.number('generation'),
      floor: answer.number('floor'),
    }));
  }

  async standing(certificate: Uint8Array): Promise<CredentialStanding> {
    const body = { certificate: toBase64(certificate) };
    return allowed(
      await this.#post('standing', body, (answer) => ({
        floor: answer.number('floor'),
        counts: answer.oneOf('counts', [true, false]),
      })),
    );
  }

  vouch(
    certificate: Uint8Array,
    hashOfMessage1: Uint8Array,
  ): Promise<Uint8Array | Refusal<string>> {
    const body = { certificate: toBase64(certificate), message1Hash: toBase64(hashOfMessage1) };
    return this.#post('word', body, (answer) => answer.base64('word'));
  }

  async generations(): Promise<FloorView> {
    const request = { method: 'GET', path: `${prefix}/generations` } as const;
    return allowed(
      await this.#send(request, (answer) => ({
        ...readGenerations(answer),
        credentials: answer.answers('credentials').map((one) => ({
          server: one.text('server'),
          profile: one.text('profile'),
          generation: one.number('generation'),
          sha256: one.hex('sha256'),
          notAfterMs: one.number('notAfterMs'),
        })),
      })),
    );
  }

  async raiseFloor(floor: number): Promise<ServerGenerations | Refusal<'rejected'>> {
    const outcome = await this.#send(
      { method: 'PUT', path: `${prefix}/floor`, ...json({ floor }) },
      readGenerations,
    );
    return isRefusal(outcome) ? refuse('rejected', outcome.reason) : outcome;
  }

  #post<Value>(
    path: string,
    body: object,
    read: (answer: Answer) => Value,
  ): Promise<Value | Refusal<string>> {
    return this.#send({ method: 'POST', path: `${prefix}/${path}`, ...json(body) }, read);
  }

  async #send<Value>(
    request: LinkRequest,
    read: (answer: Answer) => Value,
  ): Promise<Value | Refusal<string>> {
    return readAnswer(await this.#client.send(request), read);
  }
}

function readGenerations(answer: Answer): ServerGenerations {
  return {
    floor: answer.number('floor'),
    servers: answer.answers('servers').map((server) => ({
      name: server.text('name'),
      generation: server.number('generation'),
    })),
  };
}

function json(body: object): { readonly contentType: string; readonly body: string } {
  return { contentType: 'application/json', body: JSON.stringify(body) };
}
