/** What sessions leave beside themselves: evidence of clones, and chains that thumbprints name. */
import assert from 'node:assert/strict';
import * as postgresTables from '../../src/drivers/store/postgres/provisionerTables.ts';
import {
  PostgresChainStore,
  PostgresCloneStore,
} from '../../src/drivers/store/postgres/sessionWitnesses.ts';
import { provisionerMigrations } from '../../src/drivers/store/sqlite/provisionerTables.ts';
import {
  SqliteChainStore,
  SqliteCloneStore,
} from '../../src/drivers/store/sqlite/sessionWitnesses.ts';
import type { ChainStore, ShownChain } from '../../src/trust/ports/chainStore.ts';
import { maximumShownChains } from '../../src/trust/ports/chainStore.ts';
import {
  type CloneRecord,
  type CloneStore,
  maximumCloneRecords,
} from '../../src/trust/ports/cloneStore.ts';
import { MemoryChainStore, MemoryCloneStore } from '../support/memorySessionWitnesses.ts';
import { type BackendParts, contract } from '../support/storeBackends.ts';

interface Stores {
  readonly clones: CloneStore;
  readonly chains: ChainStore;
}

const backends: BackendParts<Stores> = {
  memory: () => ({ clones: new MemoryCloneStore(), chains: new MemoryChainStore() }),
  sqlite: {
    migrations: provisionerMigrations,
    stores: (database) => ({
      clones: new SqliteCloneStore(database),
      chains: new SqliteChainStore(database),
    }),
  },
  postgres: {
    migrations: postgresTables.provisionerMigrations,
    stores: (database) => ({
      clones: new PostgresCloneStore(database),
      chains: new PostgresChainStore(database),
    }),
  },
};

function evidence(number: number, deviceId = 'device0000000001'): CloneRecord {
  return {
    deviceId,
    sessionId: 'ab'.repeat(16),
    sequenceNumber: 2 ** 33 + number,
    reason: number % 2 === 0 ? 'number-used-twice' : 'superseded-keys',
    seenMs: 1_700_000_000_000 + number,
    messageHash: new Uint8Array(32).fill(deviceId.charCodeAt(15)).fill(number, 0, 4),
    ingress: 'gatewaygateway00',
    linkAddress: Uint8Array.of(2, number),
  };
}

function shown(number: number, changes: Partial<ShownChain> = {}): ShownChain {
  const certificates = [new Uint8Array(300).fill(number), Uint8Array.of(1)];
  const hash = new Uint8Array(8).fill(number);
  return { kind: 'x5t', hash, deviceId: 'device0000000001', certificates, ...changes };
}

contract('what sessions leave', backends, (check) => {
  check('evidence comes back as it was, newest first, of its device alone', async ({ clones }) => {
    assert.equal(await clones.record(evidence(1)), true);
    assert.equal(await clones.record(evidence(2)), true);
    assert.equal(await clones.record(evidence(3, 'device0000000002')), true);
    assert.deepEqual(await clones.evidenceOf('device0000000001'), [evidence(2), evidence(1)]);
    assert.deepEqual(await clones.evidenceOf('device0000000003'), []);
  });

  check('a message is evidence once', async ({ clones }) => {
    assert.equal(await clones.record(evidence(1)), true);
    assert.equal(await clones.record({ ...evidence(1), seenMs: 5 }), false);
    assert.deepEqual(await clones.evidenceOf('device0000000001'), [evidence(1)]);
  });

  check('the oldest evidence of a device goes, that of others stays', async ({ clones }) => {
    await clones.record(evidence(0, 'device0000000002'));
    for (let number = 0; number <= maximumCloneRecords; number++) {
      await clones.record(evidence(number));
    }
    const kept = await clones.evidenceOf('device0000000001');
    assert.equal(kept.length, maximumCloneRecords);
    assert.deepEqual(kept.at(-1), evidence(1));
    assert.equal((await clones.evidenceOf('device0000000002')).length, 1);
  });

  check('a chain is found by kind and hash, and replaced under them', async ({ chains }) => {
    await chains.remember(shown(1));
    await chains.remember(shown(1, { kind: 'c5t', certificates: [Uint8Array.of(9)] }));
    assert.deepEqual(await chains.chain('x5t', shown(1).hash), shown(1).certificates);
    assert.deepEqual(await chains.chain('c5t', shown(1).hash), [Uint8Array.of(9)]);
    assert.equal(await chains.chain('x5t', shown(2).hash), undefined);
    await chains.remember(shown(1, { certificates: [Uint8Array.of(7)] }));
    assert.deepEqual(await chains.chain('x5t', shown(1).hash), [Uint8Array.of(7)]);
  });

  check('a few chains of a device are kept, the latest', async ({ chains }) => {
    await chains.remember(shown(99, { deviceId: 'device0000000002' }));
    for (let number = 0; number <= maximumShownChains; number++) {
      await chains.remember(shown(number));
    }
    assert.equal(await chains.chain('x5t', shown(0).hash), undefined);
    assert.notEqual(await chains.chain('x5t', shown(1).hash), undefined);
    assert.notEqual(await chains.chain('x5t', shown(99).hash), undefined);
  });
});
