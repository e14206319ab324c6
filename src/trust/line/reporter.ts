/** Tells the authority what became of the units, in batches, and notes that it knows. */
import type { StationJournal, LockedUnit, ScrappedUnit } from '../ports/stationJournal.ts';
import { lineLimits } from '../../wire/line/fields.ts';
import {
  encodeReport,
  type LineRefusal,
  readReportAnswer,
  type ReportedUnit,
} from '../../wire/line/reporting.ts';
import { Batcher, Crowd } from './batcher.ts';
import type { Correspondent } from './correspondent.ts';
import { LineHalted } from './halt.ts';

export interface ReporterEvents {
  reported(): void;
  /** The authority has another opinion of that unit; a person has to look. */
  disputed(uid: Uint8Array, reason: string): void;
}

type FinishedUnit = LockedUnit | ScrappedUnit;

/** Answer in place of `undefined`, which a batcher takes for a missing one. */
type Verdict = LineRefusal | 'accepted';

export class Reporter {
  readonly #journal: StationJournal;
  readonly #events: ReporterEvents;
  readonly #batcher: Batcher<FinishedUnit, Verdict>;

  constructor(
    journal: StationJournal,
    correspondent: Correspondent,
    ticket: Uint8Array,
    events: ReporterEvents,
    gathering: { readonly crowd: Crowd; readonly enough: number } = alone(),
  ) {
    this.#journal = journal;
    this.#events = events;
    const { crowd, enough } = gathering;
    const limits = { most: lineLimits.unitsPerRequest, enough, concurrency: 1 };
    this.#batcher = new Batcher(limits, crowd, async (units) => {
      const report = encodeReport({ ticket, units: units.map(reportOf) });
      const { refusals } = await correspondent.ask('report', report, readReportAnswer);
      if (refusals.length !== units.length) {
        throw new LineHalted('wrong-answer', 'other units were answered than reported');
      }
      return refusals.map((refusal) => refusal ?? 'accepted');
    });
  }

  /** Rejects with `LineHalted` or an `EnvironmentError`; the report then stays due. */
  async report(unit: FinishedUnit): Promise<void> {
    let verdict = await this.#batcher.submit(unit);
    // The authority is finishing what a crash of its own left.
    if (verdict !== 'accepted' && verdict.code === 'in-progress') {
      verdict = await this.#batcher.submit(unit);
    }
    // A crash before this is durable leaves a report that is sent twice, which changes nothing.
    if (verdict === 'accepted') {
      await this.#journal.put({ ...unit, report: 'accepted' });
      this.#events.reported();
    } else if (unit.stage === 'scrapped' && verdict.code === unknownUnit) {
      await this.#journal.put({ ...unit, report: 'not-issued' });
    } else {
      this.#events.disputed(unit.uid, `${verdict.reason} [${verdict.code}]`);
    }
  }

  /** What a run before this one could not report any more. Disputed ones stay due, and are told again. */
  async reportEarlier(ticketId: Uint8Array): Promise<void> {
    const limit = lineLimits.unitsPerRequest;
    let after: Uint8Array | undefined;
    for (;;) {
      const due = await this.#journal.reportsDue(ticketId, { after, limit });
      await Promise.all(due.map((unit) => this.report(unit)));
      after = due.at(-1)?.uid;
      if (after === undefined) return;
    }
  }
}

/** Reports that belong to no unit under way wait for nobody. */
function alone(): { readonly crowd: Crowd; readonly enough: number } {
  return { crowd: new Crowd(), enough: 1 };
}

const unknownUnit = 'unknown-unit';

function reportOf(unit: FinishedUnit): ReportedUnit {
  const { uid } = unit;
  return unit.stage === 'locked'
    ? { uid, outcome: 'locked', reason: '' }
    : { uid, outcome: 'scrapped', reason: unit.reason.slice(0, lineLimits.reasonCharacters) };
}
