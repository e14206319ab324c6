/** More quota for an order, as a store: what grows with it, and what stands in its way. */
import assert from 'node:assert/strict';
import { eui64Plus } from '../../src/wire/bytes/eui64.ts';
import {
  issuingBackends,
  leaf,
  openTicket,
  orderRow,
  ticketRow,
} from '../support/issuingStores.ts';
import { contract } from '../support/storeBackends.ts';

contract('raised orders', issuingBackends, (check) => {
  check('an order grows into the addresses behind it, until they are another one', async (s) => {
    const { orders, audit } = s;
    await openTicket(s, 5, 1);
    const raise = { order: 'order-1', batch: 'order-1', by: 3 };
    assert.equal(await orders.raiseOrder({ ...raise, order: 'none' }, leaf('x')), 'unknown-batch');
    assert.equal(await orders.raiseOrder({ ...raise, batch: 'none' }, leaf('x')), 'unknown-batch');
    assert.equal(await orders.raiseOrder(raise, leaf('raised')), 'raised');
    assert.equal((await orders.order('order-1'))?.quantity, 8);
    assert.equal((await orders.batch('order-1'))?.quantity, 8);
    const { eui64First } = orderRow(1, 8);
    assert.deepEqual(await orders.eui64After(), eui64Plus(eui64First, 8));
    assert.equal(await orders.createTicket(ticketRow(2, 'order-1', 3), leaf('t')), 'created');
    const next = { ...orderRow(2, 1), eui64First: eui64Plus(eui64First, 8) ?? leaf('') };
    assert.equal(await orders.createOrder(next, [], leaf('2')), 'created');
    assert.equal(await orders.raiseOrder({ ...raise, by: 1 }, leaf('x')), 'eui64-overlap');
    const leaves = await audit.leaves(0, 9);
    assert.deepEqual(leaves.at(-3), leaf('raised'));
    await orders.closeBatch({ batch: 'order-1', atMs: 9, entry: leaf('closed') });
    assert.equal(await orders.raiseOrder(raise, leaf('x')), 'batch-closed');
  });
});
