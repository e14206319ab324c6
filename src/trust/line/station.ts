/**
 * A station's run: opens its ticket, settles what an earlier run left to report, then takes element after
 * element, several at a time, until the machine is empty or the ticket used up. Nothing is skipped in
 * silence: every element that was presented is counted under what became of it.
 */
import { equal } from '../../wire/bytes/bytes.ts';
import { toHex } from '../../wire/bytes/hex.ts';
import {
  encodeEndorseRequest,
  isEndorsed,
  readEndorseAnswer,
  type RefusedUnit,
  type UnitRequest,
} from '../../wire/line/endorsement.ts';
import { lineLimits } from '../../wire/line/fields.ts';
import { encodeOpenRequest, type OpenAnswer, readOpenAnswer } from '../../wire/line/opening.ts';
import type { Ticket } from '../../wire/line/ticket.ts';
import { type Element, ElementError, type ElementSocket } from '../ports/element.ts';
import type { Refusal } from '../ports/faults.ts';
import type { SignatureVerifier } from '../ports/keys.ts';
import type { JournalCounts, StationJournal } from '../ports/stationJournal.ts';
import { Batcher, Crowd } from './batcher.ts';
import { Correspondent, type CorrespondentPorts, type NetworkTrouble } from './correspondent.ts';
import { LineHalted } from './halt.ts';
import { Quota } from './quota.ts';
import { Reporter } from './reporter.ts';
import { SanityMemory } from './sanity.ts';
import { type Endorsement, type Line, personalize, type UnitResult } from './unit.ts';

/** Requests under way at the same time: one is decided while the next travels. */
const concurrentRequests = 2;
/** Elements that cannot be contacted, one after the other, before the machine is taken for broken. */
const mostUnreadable = 16;

export interface StationPorts extends CorrespondentPorts {
  readonly verifier: SignatureVerifier;
  readonly journal: StationJournal;
  readonly socket: ElementSocket;
}

export interface StationRun {
  /** Checked by `readOwnTicket`. */
  readonly ticket: Ticket;
  /** As the authority signed it. */
  readonly ticketBytes: Uint8Array;
  /** New units at most in this run. */
  readonly count: number;
  /** Elements that are worked on at the same time: sockets of the handler. */
  readonly inFlight: number;
}

export interface LineCounts {
  presented: number;
  inFlight: number;
  /** Locked with everything read back and right. */
  verified: number;
  scrapped: number;
  /** Still in the machine, for a person or a later run. */
  held: number;
  /** Finished in an earlier run. */
  passed: number;
  /** Presented, but not to be contacted. */
  unreadable: number;
  /** Outcomes that the authority has taken down in this run. */
  reported: number;
}

export type LineEvent =
  | { readonly event: 'opened'; readonly opening: OpenAnswer }
  | { readonly event: 'unit'; readonly uid: Uint8Array; readonly outcome: UnitResult }
  | { readonly event: 'unreadable'; readonly reason: string }
  | { readonly event: 'network'; readonly trouble: NetworkTrouble | undefined }
  | { readonly event: 'disputed'; readonly uid: Uint8Array; readonly reason: string };

export interface LineSummary {
  readonly counts: Readonly<LineCounts>;
  /** Why the run ended before the machine was empty. */
  readonly halted: Refusal<string> | undefined;
}

export class Station {
  readonly counts: LineCounts = {
    presented: 0,
    inFlight: 0,
    verified: 0,
    scrapped: 0,
    held: 0,
    passed: 0,
    unreadable: 0,
    reported: 0,
  };
  readonly #ports: StationPorts;
  readonly #run: StationRun;
  readonly #tell: (event: LineEvent) => void;
  readonly #correspondent: Correspondent;
  readonly #underWay = new Set<string>();
  readonly #crowd = new Crowd();
  #feeding: Promise<void> = Promise.resolve();
  #stopping = false;

  constructor(ports: StationPorts, run: StationRun, tell: (event: LineEvent) => void) {
    this.#ports = ports;
    this.#run = run;
    this.#tell = tell;
    this.#correspondent = new Correspondent(ports, (trouble) => {
      tell({ event: 'network', trouble });
    });
  }

  /**
   * Takes no further elements. Those under way are finished as long as the network is there; without it
   * they stay where the journal says.
   */
  stop(): void {
    this.#stopping = true;
    this.#correspondent.stopWaiting();
  }

  /** Rejects with an `EnvironmentError` when the journal or a port of the machine fails for good. */
  async run(): Promise<LineSummary> {
    try {
      await this.#personalizeAll();
    } catch (error) {
      if (!(error instanceof LineHalted)) throw error;
      this.#correspondent.halt(error);
    }
    return { counts: this.counts, halted: this.#correspondent.halted?.refusal };
  }

  async #personalizeAll(): Promise<void> {
    const { journal } = this.#ports;
    const events = {
      reported: () => (this.counts.reported += 1),
      disputed: (uid: Uint8Array, reason: string) => this.#tell({ event: 'disputed', uid, reason }),
    };
    const { ticket, ticketBytes } = this.#run;
    // First, and not bound to the period of the ticket: what was made has to be accounted for.
    const earlier = new Reporter(journal, this.#correspondent, ticketBytes, events);
    await earlier.reportEarlier(ticket.ticketId);
    const gathering = { crowd: this.#crowd, enough: this.#enough };
    const reporter = new Reporter(journal, this.#correspondent, ticketBytes, events, gathering);
    const opening = await this.#open();
    const counts = await journal.counts(opening.ticketId);
    const line = this.#lineFor(opening, counts);
    const lanes = Array.from({ length: this.#run.inFlight }, () => this.#lane(line, reporter));
    // Every lane ends by itself, so that no unit is still at work when the run is over.
    const failures = (await Promise.allSettled(lanes)).flatMap((end) =>
      end.status === 'rejected' ? [end] : [],
    );
    // A failing disk is told before the halt that it caused in the other lanes.
    const [failure] = failures.sort((left, right) => haltsLast(left) - haltsLast(right));
    if (failure !== undefined) throw failure.reason;
  }

  /** A quarter of the places: while these are answered, the others get on. */
  get #enough(): number {
    return Math.min(lineLimits.unitsPerRequest, Math.ceil(this.#run.inFlight / 4));
  }

  async #open(): Promise<OpenAnswer> {
    const { crypto } = this.#ports;
    const { ticket, ticketBytes } = this.#run;
    const request = encodeOpenRequest({ ticket: ticketBytes, nonce: crypto.random(16) });
    const opening = await this.#correspondent.ask('open', request, readOpenAnswer);
    if (!equal(opening.ticketId, ticket.ticketId)) {
      throw new LineHalted('wrong-answer', 'another ticket was opened');
    }
    if (crypto.importPublicKey('P-256', opening.agreeKey) === undefined) {
      throw new LineHalted('wrong-answer', "the authority's agree key is not on its curve");
    }
    this.#tell({ event: 'opened', opening });
    return opening;
  }

  #lineFor(opening: OpenAnswer, counts: JournalCounts): Line {
    const { crypto, verifier, journal } = this.#ports;
    const { stages, refused, scrappedBlank } = counts;
    const begun = stages.requested - refused + stages.locking + stages.locked;
    // The authority's count knows of identities that a lost journal would not.
    const used = Math.max(begun + stages.scrapped - scrappedBlank, opening.endorsed);
    const quota = new Quota(Math.min(this.#run.count, this.#run.ticket.count - used));
    const awaited = { count: stages.requested + stages.locking };
    const limits = {
      most: lineLimits.unitsPerRequest,
      enough: this.#enough,
      concurrency: concurrentRequests,
    };
    const batcher = new Batcher<UnitRequest, Endorsement | RefusedUnit>(
      limits,
      this.#crowd,
      (units) => this.#endorse(units),
    );
    const memory = new SanityMemory();
    const endorse: Line['endorse'] = (request) => batcher.submit(request);
    return { crypto, verifier, journal, opening, memory, quota, awaited, endorse };
  }

  async #endorse(units: readonly UnitRequest[]): Promise<ReadonlyArray<Endorsement | RefusedUnit>> {
    const request = encodeEndorseRequest({ ticket: this.#run.ticketBytes, units });
    const answer = await this.#correspondent.ask('endorse', request, readEndorseAnswer);
    const fits =
      answer.units.length === units.length &&
      answer.units.every((unit, index) => equal(unit.uid, units[index]?.uid ?? unit.uid));
    if (!fits) throw new LineHalted('wrong-answer', 'other units were answered than asked for');
    return answer.units.map((unit) => (isEndorsed(unit) ? { unit, chain: answer.chain } : unit));
  }

  /** One place of the handler: element after element until there is nothing more to do. */
  async #lane(line: Line, reporter: Reporter): Promise<void> {
    for (;;) {
      if (this.#stopping || this.#correspondent.halted !== undefined) return;
      if (line.quota.exhausted && line.awaited.count <= 0) return;
      const element = await this.#nextElement();
      if (element === undefined) return;
      this.counts.presented += 1;
      this.counts.inFlight += 1;
      this.#crowd.enter();
      try {
        await this.#work(element, line, reporter);
      } catch (error) {
        const halt = error instanceof LineHalted ? error : new LineHalted('stopped', String(error));
        this.#correspondent.halt(halt);
        throw error;
      } finally {
        this.counts.inFlight -= 1;
        this.#crowd.leave();
      }
    }
  }

  async #work(element: Element, line: Line, reporter: Reporter): Promise<void> {
    const { uid } = element.identity;
    const name = toHex(uid);
    const isTwice = this.#underWay.has(name);
    if (!isTwice) this.#underWay.add(name);
    try {
      const outcome: UnitResult = isTwice
        ? { result: 'held', reason: 'another element of this uid is being worked on' }
        : await personalize(element, line);
      await this.#sort(element, outcome);
      if (outcome.result === 'verified' || outcome.result === 'scrapped') {
        if (outcome.record.report === 'due') await reporter.report(outcome.record);
      }
    } finally {
      if (!isTwice) this.#underWay.delete(name);
    }
  }

  async #sort(element: Element, outcome: UnitResult): Promise<void> {
    this.counts[outcome.result] += 1;
    this.#tell({ event: 'unit', uid: element.identity.uid, outcome });
    try {
      await this.#ports.socket.bin(element, binOf(outcome));
    } catch (error) {
      if (!(error instanceof ElementError)) throw error;
      throw new LineHalted('element-feed', `the machine does not sort: ${error.message}`);
    }
  }

  /** The machine is asked by one lane at a time. */
  #nextElement(): Promise<Element | undefined> {
    const next = this.#feeding.then(() => this.#feed());
    this.#feeding = next.then(
      () => undefined,
      () => undefined,
    );
    return next;
  }

  async #feed(): Promise<Element | undefined> {
    for (let failures = 0; failures < mostUnreadable; failures++) {
      if (this.#stopping || this.#correspondent.halted !== undefined) return undefined;
      try {
        return await this.#ports.socket.next();
      } catch (error) {
        if (!(error instanceof ElementError)) throw error;
        this.counts.presented += 1;
        this.counts.unreadable += 1;
        this.#tell({ event: 'unreadable', reason: error.message });
      }
    }
    throw new LineHalted(
      'element-feed',
      `${mostUnreadable} elements in a row could not be contacted`,
    );
  }
}

function haltsLast({ reason }: PromiseRejectedResult): number {
  return reason instanceof LineHalted ? 1 : 0;
}

function binOf(outcome: UnitResult): 'finished' | 'scrapped' | 'held' {
  if (outcome.result === 'passed') return outcome.bin;
  if (outcome.result === 'verified') return 'finished';
  return outcome.result;
}
