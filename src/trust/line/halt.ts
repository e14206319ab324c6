/** Ends a run of the line: everything in flight stops where it is, and the journal knows where that was. */
import type { Refusal } from '../ports/faults.ts';

/**
 * - `stopped`: somebody asked for it.
 * - `wrong-answer`: the authority's answer does not hold what it must: never written into an element.
 * - `forged-answer`: the answer is not the authority's.
 * - `element-feed`: the machine presents nothing that can be contacted.
 * - any other: the authority refused the whole request, by its code.
 */
export class LineHalted extends Error {
  readonly code: string;

  constructor(code: string, reason: string) {
    super(reason);
    this.name = 'LineHalted';
    this.code = code;
  }

  get refusal(): Refusal<string> {
    return { refused: this.code, reason: this.message };
  }
}
