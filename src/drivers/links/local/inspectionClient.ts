/** What there is to see of the authority, over its local socket or the API. */
import { isRefusal } from '../../../trust/ports/faults.ts';
import type {
  AuthoritiesView,
  Horizon,
  InspectionDesk,
  LogHead,
  LogLeaf,
} from '../../../trust/ports/inspection.ts';
import type { Link } from '../../../trust/ports/link.ts';
import { allowed, type Answer, readAnswer } from './answers.ts';
import { linkTo, type Reach } from './localClient.ts';

export class InspectionClient implements InspectionDesk {
  readonly #client: Link;

  constructor(reach: Reach) {
    this.#client = linkTo(reach, 'authority');
  }

  close(): void {
    this.#client.close();
  }

  authorities(): Promise<AuthoritiesView> {
    return this.#get('/v1/authorities', (answer) => ({
      organization: answer.text('organization'),
      eui64Base: answer.hex('eui64Base'),
      authorities: answer.answers('authorities').map((one) => ({
        name: one.text('name'),
        role: one.text('role'),
        state: one.text('state'),
        algorithm: one.text('algorithm'),
        key: one.text('key'),
        subject: one.text('subject'),
        sha256: one.text('sha256'),
        notAfterMs: one.optionalNumber('notAfterMs'),
      })),
    }));
  }

  horizon(untilYear: number): Promise<Horizon> {
    return this.#get(`/v1/horizon?until=${untilYear}`, (answer) => ({
      rows: answer.answers('rows').map((row) => ({
        kind: row.oneOf('kind', ['authority', 'certificates', 'list', 'key']),
        name: row.text('name'),
        detail: row.text('detail'),
        endsMs: row.optionalNumber('endsMs'),
        issuesUntilMs: row.optionalNumber('issuesUntilMs'),
      })),
      events: answer.answers('events').map((event) => ({
        atMs: event.number('atMs'),
        name: event.text('name'),
        event: event.text('event'),
      })),
      warnings: answer.texts('warnings'),
    }));
  }

  log(): Promise<LogHead> {
    return this.#get('/v1/log', (answer) => ({
      log: answer.text('log'),
      treeSize: answer.number('treeSize'),
      root: answer.hex('root'),
      checkpoint: answer.text('checkpoint'),
    }));
  }

  async leaf(index: number): Promise<LogLeaf | undefined> {
    const response = await this.#client.send({ method: 'GET', path: `/v1/log/${index}` });
    const outcome = readAnswer(response, (answer) => ({
      bytes: answer.base64('bytes'),
      proof: answer.text('proof'),
    }));
    return isRefusal(outcome) && outcome.refused === 'unknown-leaf' ? undefined : allowed(outcome);
  }

  async #get<Value>(path: string, read: (answer: Answer) => Value): Promise<Value> {
    return allowed(readAnswer(await this.#client.send({ method: 'GET', path }), read));
  }
}
