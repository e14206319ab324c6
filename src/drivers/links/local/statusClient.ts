/** The status of certificates from the authority, over its local socket. */
import { isRefusal } from '../../../trust/ports/faults.ts';
import type {
  NewsCursor,
  SignedAnswer,
  StatusAuthority,
  StatusNews,
} from '../../../trust/ports/statusAuthority.ts';
import type {
  DevicePageOfSelection,
  ListName,
  ListSummary,
  UnitSelection,
} from '../../../trust/ports/statusStore.ts';
import type { Link } from '../../../trust/ports/link.ts';
import { unsuccessful, type Unsuccessful } from '../../../wire/ocsp/response.ts';
import { allowed, type Answer, readAnswer } from './answers.ts';
import { linkTo, type Reach } from './localClient.ts';

export class StatusClient implements StatusAuthority {
  readonly #client: Link;

  constructor(reach: Reach) {
    this.#client = linkTo(reach, 'authority');
  }

  close(): void {
    this.#client.close();
  }

  async ocsp(authority: string, request: Uint8Array): Promise<SignedAnswer | Unsuccessful> {
    const response = await this.#client.send({
      method: 'POST',
      path: `/v1/ocsp/${encodeURIComponent(authority)}`,
      contentType: 'application/ocsp-request',
      body: request,
    });
    return allowed(readAnswer(response, readSigned));
  }

  certificate(authority: string): Promise<Uint8Array | undefined> {
    const path = `/v1/authorities/${encodeURIComponent(authority)}/certificate`;
    return this.#find(path, 'unknown-authority');
  }

  list({ authority, shard }: ListName): Promise<Uint8Array | undefined> {
    return this.#find(`/v1/lists/${encodeURIComponent(authority)}/${shard}`, 'unknown-list');
  }

  async lists(): Promise<readonly ListSummary[]> {
    const response = await this.#client.send({ method: 'GET', path: '/v1/lists' });
    return allowed(readAnswer(response, (answer) => answer.answers('lists').map(readSummary)));
  }

  statusNews(cursor: NewsCursor | undefined): Promise<StatusNews> {
    return this.#post('/v1/status/news', cursor ?? {}, readNews);
  }

  devicesOf(selection: UnitSelection, after: string | undefined): Promise<DevicePageOfSelection> {
    return this.#post('/v1/status/devices', { ...selection, after }, (answer) => ({
      deviceIds: answer.texts('deviceIds'),
      next: answer.has('next') ? answer.text('next') : undefined,
    }));
  }

  isKnown(selection: UnitSelection): Promise<boolean> {
    return this.#post('/v1/status/known', selection, (answer) =>
      answer.oneOf('known', [true, false]),
    );
  }

  async #find(path: string, unknown: string): Promise<Uint8Array | undefined> {
    const response = await this.#client.send({ method: 'GET', path });
    if (response.status === 200) return response.body;
    const refusal = readAnswer(response, () => undefined);
    return isRefusal(refusal) && refusal.refused === unknown ? undefined : allowed(refusal);
  }

  async #post<Value>(path: string, body: object, read: (answer: Answer) => Value): Promise<Value> {
    const response = await this.#client.send({
      method: 'POST',
      path,
      contentType: 'application/json',
      body: JSON.stringify(body),
    });
    return allowed(readAnswer(response, read));
  }
}

const unsuccessfulNames: readonly Unsuccessful[] = Object.keys(unsuccessful).filter(isName);

function isName(name: string): name is Unsuccessful {
  return Object.hasOwn(unsuccessful, name);
}

function readSigned(answer: Answer): SignedAnswer | Unsuccessful {
  if (answer.has('unsuccessful')) return answer.oneOf('unsuccessful', unsuccessfulNames);
  return {
    der: answer.base64('answer'),
    thisUpdateMs: answer.number('thisUpdateMs'),
    nextUpdateMs: answer.number('nextUpdateMs'),
    holders: answer.texts('holders'),
  };
}

function readSummary(answer: Answer): ListSummary {
  return {
    authority: answer.text('authority'),
    shard: answer.number('shard'),
    number: answer.number('number'),
    thisUpdateMs: answer.number('thisUpdateMs'),
    nextUpdateMs: answer.number('nextUpdateMs'),
    count: answer.number('count'),
    publication: answer.number('publication'),
  };
}

function readNews(answer: Answer): StatusNews {
  const cursor = answer.answer('cursor');
  return {
    cursor: { change: cursor.number('change'), publication: cursor.number('publication') },
    holders: answer.texts('holders'),
    lists: answer.answers('lists').map((list) => ({
      authority: list.text('authority'),
      shard: list.number('shard'),
    })),
    more: answer.oneOf('more', [true, false]),
  };
}
