/** The other side of `checkpointer.ts`: one pass for each message. */
import { DatabaseSync } from 'node:sqlite';
import { parentPort } from 'node:worker_threads';
import { type PassRequest, type PassResult, passStates } from './checkpointer.ts';

parentPort?.on('message', ({ path, state }: PassRequest) => {
  const { idle, asked, underWay } = passStates;
  if (Atomics.compareExchange(state, 0, asked, underWay) !== asked) return;
  const result: PassResult = { logPages: pass(path) };
  Atomics.store(state, 0, idle);
  Atomics.notify(state, 0);
  parentPort?.postMessage(result, []);
});

/** A disk that fails here fails the next commits too, and they tell whom it concerns. */
function pass(path: string): number {
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(path);
    // PASSIVE: never in the way of a commit. It flushes the log before, and the database behind.
    const row = database.prepare('PRAGMA wal_checkpoint(PASSIVE)').get();
    return typeof row?.['log'] === 'number' ? row['log'] : 0;
  } catch {
    return 0;
  } finally {
    database?.close();
  }
}
