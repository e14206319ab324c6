/** The other side of `verifierPool.ts`: checks one batch after the other, on a thread of its own. */
import { parentPort } from 'node:worker_threads';
import { SoftwareVerifier } from './verifier.ts';
import type { ProofBatch, ProofResults } from './verifierPool.ts';

const verifier = new SoftwareVerifier();

parentPort?.on('message', ({ batch, count, algorithm, bytes, ends }: ProofBatch) => {
  const valid = new Uint8Array(new ArrayBuffer(count));
  let offset = 0;
  const part = (index: number): Uint8Array => {
    const end = ends[index] ?? offset;
    const view = bytes.subarray(offset, end);
    offset = end;
    return view;
  };
  for (let index = 0; index < count; index++) {
    const spki = part(index * 3);
    const data = part(index * 3 + 1);
    const signature = part(index * 3 + 2);
    valid[index] = verifier.verifyOnce(spki, algorithm, data, signature) ? 1 : 0;
  }
  const results: ProofResults = { batch, valid };
  parentPort?.postMessage(results, [valid.buffer]);
});
