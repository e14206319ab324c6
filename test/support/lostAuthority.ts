/** `birthmark ca compromise` of an authority and of the log, where one person is enough. */
import { withCasesAtRest } from '../../src/apps/authority/caseOffice.ts';
import {
  type Answered,
  answerLostAuthority,
  answerLostLog,
  beginLostAuthority,
  beginLostLog,
  type LossOptions,
} from '../../src/apps/authority/lostKeys.ts';
import { useForLoss } from '../../src/apps/authority/rootUse.ts';
import { begunAlone } from './alone.ts';

export async function replaceLost(options: LossOptions, line: string): Promise<Answered> {
  const one = await withCasesAtRest(options, (desk) => beginLostAuthority(desk, options, line));
  const use = await useForLoss(options, one);
  return answerLostAuthority(options, line, await begunAlone('root.use', use));
}

export async function replaceLostLog(options: LossOptions): Promise<Answered> {
  const { subject } = await withCasesAtRest(options, (desk) => beginLostLog(desk, options));
  return answerLostLog(options, await begunAlone('key.replace', { subject }));
}
