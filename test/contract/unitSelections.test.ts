/** Units of the authority by what they have in common, and whether a name is one at all. */
import assert from 'node:assert/strict';
import type { UnitSelection } from '../../src/trust/ports/statusStore.ts';
import {
  bytesOf,
  certificateIntent,
  issuingBackends,
  type IssuingStores,
  leaf,
  openTicket,
  orderRow,
  unitIntent,
} from '../support/issuingStores.ts';
import { deviceIdOf } from '../support/registrySamples.ts';
import { contract } from '../support/storeBackends.ts';

async function issue(
  { issuance }: IssuingStores,
  intents: Parameters<IssuingStores['issuance']['begin']>[0],
): Promise<void> {
  const outcomes = await issuance.begin(intents);
  await issuance.complete(
    outcomes.map((outcome) => {
      const id = 'taken' in outcome ? outcome.taken : 0;
      return { id, signature: bytesOf(`s ${id}`, 32), entry: leaf('i') };
    }),
  );
}

contract('selections of units', issuingBackends, (check) => {
  check('units are found by what they have in common, page by page', async (s) => {
    const first = await openTicket(s, 3, 1);
    const second = await openTicket(s, 3, 2);
    await issue(s, [
      unitIntent(1, first),
      unitIntent(2, second, { firmware: '2.0' }),
      unitIntent(3, first),
      unitIntent(4, second),
    ]);
    await s.issuance.begin([unitIntent(5, second)]);
    const ids = (...numbers: readonly number[]) => numbers.map(deviceIdOf);
    const select = async (...parameters: Parameters<typeof s.status.devicesOf>) =>
      (await s.status.devicesOf(...parameters)).deviceIds;
    const batch = { by: 'batch', name: 'order-2' } as const;
    assert.deepEqual(await select(batch, undefined, 9), ids(2, 4));
    const family = { by: 'family', name: 'software', firmware: undefined } as const;
    const page = await s.status.devicesOf(family, undefined, 3);
    assert.deepEqual(page.deviceIds, ids(1, 3, 2));
    assert.deepEqual(await select(family, page.next, 3), ids(4));
    assert.deepEqual(await select({ ...family, firmware: '2.0' }, undefined, 9), ids(2));
    assert.deepEqual(await select({ by: 'product', name: 'none' }, undefined, 9), []);
    await assert.rejects(async () => select(family, 'nonsense', 3), TypeError);
    const asked = [...ids(1, 2), 'zzzzzzzzzzzzzzzz'];
    const among = async (selection: Parameters<typeof s.status.selected>[0]) => {
      const found = await s.status.selected(selection, asked);
      return asked.map((deviceId) => found.get(deviceId));
    };
    assert.deepEqual(await among(batch), [false, true, undefined]);
    assert.deepEqual(await among({ ...family, firmware: '2.0' }), [false, true, undefined]);
    assert.deepEqual(await among(family), [true, true, undefined]);
  });

  check('a name is known from when something was ordered or certified under it', async (s) => {
    const order = { ...orderRow(1, 4), product: 'meter', family: 'tpm' };
    const batch = { batch: 'reel-1', order: order.order, quantity: 4, closedMs: undefined };
    await s.orders.createOrder(order, [batch], leaf('order'));
    const holder = { holder: 'line-7', profile: 'station@1' };
    await s.issuance.begin([certificateIntent(1, holder)]);
    await s.issuance.begin([certificateIntent(2, { holder: 'dashboard' })]);
    const family = (name: string, firmware?: string) => ({ by: 'family', name, firmware }) as const;
    const known: readonly UnitSelection[] = [
      { by: 'batch', name: 'reel-1' },
      { by: 'product', name: 'meter' },
      { by: 'station', name: 'line-7' },
      family('tpm'),
    ];
    for (const one of known) assert.equal(await s.status.isKnown(one), true, one.by);
    const ticket = await openTicket(s, 3, 2);
    await issue(s, [unitIntent(3, ticket, { firmware: '2.0' })]);
    assert.equal(await s.status.isKnown(family('software', '2.0')), true);
    const unknown: readonly UnitSelection[] = [
      { by: 'batch', name: 'meter' },
      { by: 'product', name: 'reel-1' },
      { by: 'station', name: 'dashboard' },
      family('tpm', '2.0'),
      family('software', '2.1'),
      family('softwar'),
    ];
    for (const one of unknown) assert.equal(await s.status.isKnown(one), false, one.by);
  });
});
