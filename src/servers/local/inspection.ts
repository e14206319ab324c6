/** The authority's local door: what there is to see, for whoever may look. */
import type { FastifyInstance } from 'fastify';
import type { InspectionDesk } from '../../trust/ports/inspection.ts';
import { toBase64 } from '../../wire/bytes/base64.ts';
import { toHex } from '../../wire/bytes/hex.ts';
import { sendProblem } from '../http/problem.ts';
import { FieldError } from './fields.ts';

/** How far generations of authorities are planned. */
export const horizonYears = { least: 2000, usual: 2041, most: 2200 } as const;

export function inspectionRoutes(app: FastifyInstance, desk: InspectionDesk): void {
  app.get('/v1/authorities', async () => {
    const { organization, eui64Base, authorities } = await desk.authorities();
    return {
      organization,
      eui64Base: toHex(eui64Base),
      authorities: authorities.map((one) => ({ ...one, notAfterMs: one.notAfterMs ?? null })),
    };
  });

  app.get<{ Querystring: { until?: string } }>('/v1/horizon', async ({ query }) => {
    const { least, usual, most } = horizonYears;
    const year = wholeOr(query.until, usual);
    if (year < least || year > most) throw new FieldError(`until is a year up to ${most}`);
    const { rows, events, warnings } = await desk.horizon(year);
    return {
      rows: rows.map((row) => ({
        ...row,
        endsMs: row.endsMs ?? null,
        issuesUntilMs: row.issuesUntilMs ?? null,
      })),
      events,
      warnings,
    };
  });

  app.get('/v1/log', async () => {
    const { root, ...head } = await desk.log();
    return { ...head, root: toHex(root) };
  });

  app.get<{ Params: { leaf: string } }>('/v1/log/:leaf', async ({ params }, reply) => {
    const leaf = wholeOr(params.leaf, -1);
    const found = leaf < 0 ? undefined : await desk.leaf(leaf);
    return found === undefined
      ? sendProblem(reply, { status: 404, code: 'unknown-leaf', detail: 'No such leaf yet.' })
      : { leaf, bytes: toBase64(found.bytes), proof: found.proof };
  });
}

/** A whole number from 0 in decimal; `usual` where there is none, -1 for another text. */
function wholeOr(text: string | undefined, usual: number): number {
  if (text === undefined) return usual;
  return /^\d{1,15}$/.test(text) ? Number(text) : -1;
}
