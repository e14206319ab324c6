/** The authority's local door: elements of other makers. */
import type { FastifyInstance } from 'fastify';
import type { ForeignDesk } from '../../trust/ports/enrolmentDesk.ts';
import { isRefusal } from '../../trust/ports/faults.ts';
import type { ForeignAnchor } from '../../trust/ports/foreignStore.ts';
import { toBase64 } from '../../wire/bytes/base64.ts';
import { toHex } from '../../wire/bytes/hex.ts';
import { sendRefusal } from '../http/problem.ts';
import { readApproval } from './authorityFields.ts';
import { Fields } from './fields.ts';

/** More elements than any maker has ever shipped of one part. */
const maximumCount = 10_000_000_000;

export function foreignRoutes(app: FastifyInstance, desk: ForeignDesk): void {
  app.get('/v1/foreign-anchors', async () => ({
    anchors: (await desk.anchors()).map(anchorDocument),
  }));

  app.post('/v1/foreign-anchors', async (request, reply) => {
    const fields = new Fields(request.body);
    const decision = {
      product: fields.text('product', 64),
      certificate: fields.base64('certificate'),
      count: fields.integer('count', 1, maximumCount),
    };
    const outcome = await desk.pin(decision, readApproval(fields));
    return isRefusal(outcome) ? sendRefusal(reply, outcome) : anchorDocument(outcome);
  });

  app.post('/v1/foreign-anchors/retire', async (request, reply) => {
    const fields = new Fields(request.body);
    const refusal = await desk.retire(
      fields.text('product', 64),
      fields.hex('sha256'),
      readApproval(fields),
    );
    return refusal === undefined ? {} : sendRefusal(reply, refusal);
  });
}

function anchorDocument(anchor: ForeignAnchor): object {
  return {
    product: anchor.product,
    certificate: toBase64(anchor.certificate),
    sha256: toHex(anchor.sha256),
    count: anchor.count,
    taken: anchor.taken,
    pinnedMs: anchor.pinnedMs,
    retiredMs: anchor.retiredMs ?? null,
  };
}
