/**
 * A station's process that dies at a chosen call: everything it reaches the world through goes through
 * here. What was under way when it died may still happen, as with a real kill; nothing new does.
 */
import type { Element, ElementSocket } from '../../../src/trust/ports/element.ts';
import type { LineTransport } from '../../../src/trust/ports/lineTransport.ts';
import type { StationJournal, UnitRecord } from '../../../src/trust/ports/stationJournal.ts';

export type Flavour = 'before' | 'after';

export class CrashSwitch {
  readonly #diesAt: (point: string, flavour: Flavour) => boolean;
  readonly #underWay = new Set<Promise<unknown>>();
  #die: () => void = () => undefined;
  dead = false;
  /** Every place where it could have died, in order. */
  readonly passed: string[] = [];
  readonly death: Promise<'crashed'>;

  constructor(diesAt: (point: string, flavour: Flavour) => boolean) {
    this.#diesAt = diesAt;
    this.death = new Promise((resolve) => {
      this.#die = () => {
        this.dead = true;
        resolve('crashed');
      };
    });
  }

  async guard<Result>(point: string, act: () => Promise<Result>): Promise<Result> {
    await this.#pass(point, 'before');
    const acting = act();
    this.#underWay.add(acting);
    try {
      return await acting;
    } finally {
      this.#underWay.delete(acting);
      await this.#pass(point, 'after');
    }
  }

  /** What the dead process had begun has happened or failed: a new one may start. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#underWay);
  }

  async #pass(point: string, flavour: Flavour): Promise<void> {
    if (!this.dead) {
      this.passed.push(`${flavour} ${point}`);
      if (this.#diesAt(point, flavour)) this.#die();
    }
    // A dead process neither goes on nor notices.
    if (this.dead) await new Promise<never>(() => undefined);
  }
}

export function crashingJournal(journal: StationJournal, crash: CrashSwitch): StationJournal {
  return {
    find: (family, uid) => crash.guard('find', () => journal.find(family, uid)),
    put: (record) => crash.guard(pointOf(record), () => journal.put(record)),
    counts: (ticketId) => journal.counts(ticketId),
    reportsDue: (ticketId, page) => journal.reportsDue(ticketId, page),
    unfinished: (ticketId, page) => journal.unfinished(ticketId, page),
  };
}

export function crashingTransport(transport: LineTransport, crash: CrashSwitch): LineTransport {
  return { post: (step, message) => crash.guard(step, () => transport.post(step, message)) };
}

export function crashingSocket(socket: ElementSocket, crash: CrashSwitch): ElementSocket {
  return {
    family: socket.family,
    next: async () => {
      const element = await crash.guard('next', () => socket.next());
      return element && crashingElement(element, crash);
    },
    bin: (element, bin) => crash.guard('bin', () => socket.bin(element, bin)),
  };
}

function crashingElement(element: Element, crash: CrashSwitch): Element {
  return {
    identity: element.identity,
    lifecycle: () => element.lifecycle(),
    random: (lengthBytes) => element.random(lengthBytes),
    generateKey: (slot) => crash.guard(`generate ${slot}`, () => element.generateKey(slot)),
    publicKey: (slot) => element.publicKey(slot),
    sign: (slot, data) => element.sign(slot, data),
    agree: (slot, peer) => element.agree(slot, peer),
    write: (contents) => crash.guard('write', () => element.write(contents)),
    readCertificate: (slot) => element.readCertificate(slot),
    readData: (slot) => element.readData(slot),
    lock: () => crash.guard('lock', () => element.lock()),
  };
}

function pointOf(record: UnitRecord): string {
  const told = 'report' in record && record.report !== 'due' ? ' reported' : '';
  return `journal ${record.stage}${told}`;
}
