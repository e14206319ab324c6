/** The contract of elements, held against every driver in the tree. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { createElementFolder } from '../../src/drivers/elements/software/elementFolder.ts';
import { fileNameOf } from '../../src/drivers/elements/software/softwareElement.ts';
import { elementContract } from './elementContract.ts';

const path = mkdtempSync(join(tmpdir(), 'birthmark-elements-'));
after(() => rmSync(path, { recursive: true, force: true }));
const folder = await createElementFolder(path, 'contract', 4);
let count = 0;

elementContract('software', async () => {
  count += 1;
  const uid = Uint8Array.of(0x0e, count);
  const element = await folder.create(uid);
  return { element, powerCycle: () => folder.open(fileNameOf(uid)) };
});
