/** The authority's parts on a data folder, without its process, and a birth through them. */
import assert from 'node:assert/strict';
import { assemble, type Parts } from '../../../src/apps/authority/assemble.ts';
import {
  authorityPaths,
  requireInstallation,
} from '../../../src/apps/authority/authorityFolder.ts';
import { openAuthorityStores } from '../../../src/apps/authority/stores.ts';
import { isRefusal } from '../../../src/trust/ports/faults.ts';
import { isEndorsed } from '../../../src/wire/line/endorsement.ts';
import { alone } from '../alone.ts';
import { testElement, TestStation, unitRequest } from './station.ts';
import { testSigner } from './world.ts';

const clock = { nowMs: Date.now };

export async function assembled<Value>(
  { dataFolder, passphrase }: { readonly dataFolder: string; readonly passphrase: string },
  use: (parts: Parts) => Promise<Value>,
): Promise<Value> {
  const paths = authorityPaths(dataFolder);
  const stores = await openAuthorityStores(paths, undefined);
  const security = { note: () => undefined };
  const more = { passphrase, clock, onUnsigned: () => undefined, security };
  const parts = await assemble(paths, await requireInstallation(paths), stores, more);
  try {
    return await use(parts);
  } finally {
    await parts.close();
    await stores.close();
  }
}

/** Of one element, from its order on. */
export async function birth(
  { orders, line, hierarchy }: Parts,
  product: string,
  batch: string,
  profile?: string,
): Promise<readonly [certificate: Uint8Array, above: readonly Uint8Array[], deviceId: string]> {
  const ordered = await orders.create(
    await alone('order.create', {
      order: batch,
      product,
      family: 'software',
      hwType: '1.3.6.1.4.1.32473.1',
      partNumber: 'S-1',
      quantity: 1,
      leastProof: 'line-anchored',
      serverIdentity: Uint8Array.of(0xa1, 1, 2),
      ...(profile === undefined ? {} : { profile }),
    }),
  );
  assert.ok(!isRefusal(ordered));
  const signer = testSigner();
  const ticket = await orders.issueTicket(
    await alone('ticket.issue', {
      batch,
      count: 1,
      stationKeySpki: signer.publicKeySpki,
      notBeforeMs: Date.now() - 1_000,
      notAfterMs: Date.now() + 60_000,
    }),
  );
  assert.ok(!isRefusal(ticket));
  const orderKey = { publicKeySpki: hierarchy.orderKeySpki };
  const station = new TestStation(line, orderKey, ticket.signed, signer);
  // Nine octets, as an ATECC has.
  const element = testElement(batch.padEnd(9, '.'));
  const unit = await unitRequest(element, await station.open());
  const { units, chain } = await station.endorseWhole([unit]);
  const [endorsed] = units;
  assert.ok(endorsed !== undefined);
  assert.ok(isEndorsed(endorsed), isEndorsed(endorsed) ? '' : endorsed.code);
  await station.report([[element, 'locked']]);
  return [endorsed.certificate, chain, endorsed.deviceId];
}
