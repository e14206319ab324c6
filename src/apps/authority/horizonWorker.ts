/** The other side of `inspection.ts`: one horizon, on a thread of its own. */
import { parentPort } from 'node:worker_threads';
import { horizonOf } from './horizon.ts';
import type { HorizonTask } from './inspection.ts';
import { openAuthoritySnapshot } from './stores.ts';

parentPort?.once('message', (task: HorizonTask) => {
  // What goes wrong ends the thread, which is told to whoever waits.
  void answer(task);
});

async function answer(task: HorizonTask): Promise<void> {
  const snapshot = await openAuthoritySnapshot(task.paths, undefined);
  parentPort?.postMessage(await horizonOf({ ...task, snapshot }), []);
}
