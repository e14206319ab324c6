/** A whole line in memory: authority, journal, elements survive; the station may die and be started anew. */
import { nodeCrypto } from '../../../src/drivers/keys/software/nodeCrypto.ts';
import { SoftwareVerifier } from '../../../src/drivers/keys/software/verifier.ts';
import type { ElementFolder } from '../../../src/drivers/elements/software/elementFolder.ts';
import { softwareSocket } from '../../../src/drivers/elements/software/softwareSocket.ts';
import {
  type LineEvent,
  type LineSummary,
  Station,
  type StationPorts,
  type StationRun,
} from '../../../src/trust/line/station.ts';
import type { Pause } from '../../../src/trust/ports/pause.ts';
import type { StationJournal } from '../../../src/trust/ports/stationJournal.ts';
import type { Signer } from '../../../src/trust/ports/keys.ts';
import { crashingJournal, crashingSocket, crashingTransport, CrashSwitch } from './crash.ts';
import { MemoryJournal } from './memoryJournal.ts';
import { memoryElements } from './memoryFolder.ts';
import { TestAuthority, testStationSigner } from './testAuthority.ts';
import type { LineWorld } from './checker.ts';

export interface RunOptions {
  readonly crash?: CrashSwitch;
  readonly inFlight?: number;
  readonly count?: number;
  readonly ports?: Partial<StationPorts>;
  readonly prepare?: (station: Station) => void;
}

export interface FinishedRun {
  readonly summary: LineSummary | 'crashed';
  readonly events: readonly LineEvent[];
}

/** Where tickets and answers come from. */
export type LineSource = Pick<StationPorts, 'orderKey' | 'transport'> &
  Pick<StationRun, 'ticket' | 'ticketBytes'>;

export class LineBench {
  readonly authority: TestAuthority;
  readonly source: LineSource;
  readonly signer: Signer;
  readonly folder: ElementFolder;
  readonly journal: StationJournal = new MemoryJournal();
  readonly waitsMs: number[] = [];

  private constructor(
    signer: Signer,
    authority: TestAuthority,
    folder: ElementFolder,
    source: LineSource,
  ) {
    this.signer = signer;
    this.authority = authority;
    this.folder = folder;
    this.source = source;
  }

  static async create(elements: number, quota: number = elements): Promise<LineBench> {
    const signer = testStationSigner();
    const authority = new TestAuthority(signer, { count: quota });
    const { ticket, ticketBytes, orderKey } = authority;
    const source = { ticket, ticketBytes, orderKey, transport: authority };
    return new LineBench(signer, authority, await memoryElements(elements), source);
  }

  /** The same elements and station, with another authority. */
  with(source: LineSource): LineBench {
    return new LineBench(this.signer, this.authority, this.folder, source);
  }

  get world(): LineWorld {
    const { ledger, ticket } = this.authority;
    return { ledger, quota: ticket.count, folder: this.folder };
  }

  /** Time stands still: every wait is over at once. */
  readonly pause: Pause = {
    wait: (durationMs) => {
      this.waitsMs.push(durationMs);
      return { over: Promise.resolve(), cancel: () => undefined };
    },
  };

  async ports(): Promise<StationPorts> {
    return {
      crypto: nodeCrypto,
      verifier: new SoftwareVerifier(),
      signer: this.signer,
      orderKey: this.source.orderKey,
      transport: this.source.transport,
      pause: this.pause,
      journal: this.journal,
      socket: await softwareSocket(this.folder),
    };
  }

  async run(options: RunOptions = {}): Promise<FinishedRun> {
    const events: LineEvent[] = [];
    const crash = options.crash ?? new CrashSwitch(() => false);
    const ports = { ...(await this.ports()), ...options.ports };
    const station = new Station(
      {
        ...ports,
        journal: crashingJournal(ports.journal, crash),
        transport: crashingTransport(ports.transport, crash),
        socket: crashingSocket(ports.socket, crash),
      },
      {
        ticket: this.source.ticket,
        ticketBytes: this.source.ticketBytes,
        count: options.count ?? Number.MAX_SAFE_INTEGER,
        inFlight: options.inFlight ?? 4,
      },
      (event) => events.push(event),
    );
    options.prepare?.(station);
    const summary = await Promise.race([station.run(), crash.death]);
    await crash.settled();
    return { summary, events };
  }
}
