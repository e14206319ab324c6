/** Cases of lost keys at the running authority, over its local socket. */
import { EnvironmentError, isRefusal, type Refusal, refuse } from '../../../trust/ports/faults.ts';
import {
  type CaseDesk,
  type CaseRefusal,
  type CaseStep,
  type LossCase,
  readCase,
} from '../../../trust/ports/lossCase.ts';
import { approvalMember, readAnswer } from './answers.ts';
import { LocalClient } from './localClient.ts';

export class CaseClient implements CaseDesk {
  readonly #client: LocalClient;

  constructor(socketPath: string) {
    this.#client = new LocalClient(socketPath, 'authority');
  }

  close(): void {
    this.#client.close();
  }

  async cases(): Promise<readonly LossCase[]> {
    const response = await this.#client.send({ method: 'GET', path: '/v1/cases' });
    return allowed(readAnswer(response, (answer) => answer.values('cases').map(readCase)));
  }

  async openCase(one: LossCase): Promise<LossCase> {
    return allowed(await this.#post('/v1/cases', { case: one }));
  }

  async finishStep(
    name: string,
    { name: step, doneMs, detail }: Required<CaseStep>,
  ): Promise<LossCase | Refusal<CaseRefusal>> {
    return expected(await this.#post('/v1/cases/step', { name, step, doneMs, detail }));
  }

  closeCase(
    name: string,
    atMs: number,
    approval?: Uint8Array,
  ): Promise<LossCase | Refusal<string>> {
    return this.#post('/v1/cases/close', { name, atMs, ...approvalMember(approval) });
  }

  async #post(path: string, body: object): Promise<LossCase | Refusal<string>> {
    const json = { contentType: 'application/json', body: JSON.stringify(body) };
    const response = await this.#client.send({ method: 'POST', path, ...json });
    return readAnswer(response, (answer) => readCase(answer.value('case')));
  }
}

const refusals: readonly CaseRefusal[] = ['unknown-case', 'case-not-done'];

function expected(outcome: LossCase | Refusal<string>): LossCase | Refusal<CaseRefusal> {
  if (!isRefusal(outcome)) return outcome;
  const code = refusals.find((one) => one === outcome.refused);
  return code === undefined ? allowed<never>(outcome) : refuse(code, outcome.reason);
}

function allowed<Value>(outcome: Value | Refusal<string>): Value {
  if (!isRefusal(outcome)) return outcome;
  const { reason, refused } = outcome;
  throw new EnvironmentError(`the authority refused: ${reason} [${refused}]`, { retryable: false });
}
