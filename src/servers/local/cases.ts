/** The authority's local door: cases of lost keys. */
import type { FastifyInstance, FastifyReply } from 'fastify';
import { isRefusal, type Refusal } from '../../trust/ports/faults.ts';
import { type CaseDesk, type LossCase, readCase } from '../../trust/ports/lossCase.ts';
import { sendRefusal } from '../http/problem.ts';
import { readApproval } from './authorityFields.ts';
import { Fields } from './fields.ts';

const maximumCaseBytes = 8_192;
const maximumDetail = 1_000;
const maximumName = 200;

export function caseRoutes(app: FastifyInstance, desk: CaseDesk): void {
  app.get('/v1/cases', async () => ({ cases: await desk.cases() }));

  app.post('/v1/cases', { bodyLimit: maximumCaseBytes }, async (request, reply) => {
    const one = readCase(new Fields(request.body).value('case'));
    return answer(reply, await desk.openCase(one));
  });

  app.post('/v1/cases/step', async (request, reply) => {
    const fields = new Fields(request.body);
    const step = {
      name: fields.text('step', maximumName),
      doneMs: timeIn(fields, 'doneMs'),
      detail: fields.text('detail', maximumDetail),
    };
    return answer(reply, await desk.finishStep(fields.text('name', maximumName), step));
  });

  app.post('/v1/cases/close', async (request, reply) => {
    const fields = new Fields(request.body);
    const name = fields.text('name', maximumName);
    const atMs = timeIn(fields, 'atMs');
    return answer(reply, await desk.closeCase(name, atMs, readApproval(fields)));
  });
}

function answer(reply: FastifyReply, outcome: LossCase | Refusal<string>): object {
  return isRefusal(outcome) ? sendRefusal(reply, outcome) : { case: outcome };
}

function timeIn(fields: Fields, name: string): number {
  return fields.integer(name, 0, Number.MAX_SAFE_INTEGER);
}
