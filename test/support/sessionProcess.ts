/**
 * One of several processes that serve sessions from one PostgreSQL store: frames come in as messages of the
 * parent, with the time; answers and telemetry go back. To be started with `SessionProcess.start`.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { agreeP256, importPkcs8 } from '../../src/drivers/elements/software/p256.ts';
import { nodeCrypto } from '../../src/drivers/keys/software/nodeCrypto.ts';
import type { StoreAddress } from '../../src/drivers/store/postgres/address.ts';
import { PostgresDatabase } from '../../src/drivers/store/postgres/database.ts';
import { provisionerMigrations } from '../../src/drivers/store/postgres/provisionerTables.ts';
import { PostgresSessionStore } from '../../src/drivers/store/postgres/sessionStore.ts';
import { PostgresCloneStore } from '../../src/drivers/store/postgres/sessionWitnesses.ts';
import type { Endpoint } from '../../src/trust/ports/sessionStore.ts';
import { SessionService } from '../../src/trust/sessions/sessionService.ts';
import { equal } from '../../src/wire/bytes/bytes.ts';
import { kidOfAgreeKey, readServerIdentity } from '../../src/wire/edhoc/agreeCredential.ts';
import { contextSealing } from './field.ts';

export interface SessionProcessSetting {
  readonly address: StoreAddress;
  readonly schema: string;
  /** PKCS#8. */
  readonly serverKey: Uint8Array;
  readonly serverIdentity: Uint8Array;
  readonly devices: ReadonlyArray<{ readonly deviceId: string; readonly agreeKey: Uint8Array }>;
}

interface Frame {
  readonly number: number;
  readonly nowMs: number;
  readonly endpoint: Endpoint;
  readonly frame: Uint8Array;
}

export interface DeliveredMessage {
  readonly sessionId: string;
  readonly sequenceNumber: number;
  readonly payload: Uint8Array;
}

type Said =
  | { readonly kind: 'ready' }
  | { readonly kind: 'delivered'; readonly message: DeliveredMessage }
  /** The frame to answer with, or why there is none. */
  | { readonly kind: 'outcome'; readonly number: number; readonly outcome: Outcome };

export type Outcome = Uint8Array | string | undefined;

/** The parent's end of it. */
export class SessionProcess {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, (outcome: Outcome) => void>();
  #sent = 0;

  private constructor(child: ChildProcess, onDelivered: (message: DeliveredMessage) => void) {
    this.#child = child;
    child.on('message', (said: Said) => {
      if (said.kind === 'delivered') onDelivered(said.message);
      if (said.kind !== 'outcome') return;
      this.#waiting.get(said.number)?.(said.outcome);
      this.#waiting.delete(said.number);
    });
    child.on('exit', () => {
      for (const resolve of this.#waiting.values()) resolve('dead');
    });
  }

  static async start(
    context: TestContext,
    setting: SessionProcessSetting,
    onDelivered: (message: DeliveredMessage) => void,
  ): Promise<SessionProcess> {
    const child = fork(fileURLToPath(import.meta.url), [], {
      serialization: 'advanced',
      execArgv: ['--disable-warning=ExperimentalWarning'],
    });
    context.after(() => child.kill('SIGKILL'));
    child.send(setting);
    await once(child, 'message');
    return new SessionProcess(child, onDelivered);
  }

  take(endpoint: Endpoint, frame: Uint8Array, nowMs: number): Promise<Outcome> {
    if (this.#child.signalCode !== null) return Promise.resolve('dead');
    this.#sent += 1;
    const number = this.#sent;
    const outcome = new Promise<Outcome>((resolve) => this.#waiting.set(number, resolve));
    const sent: Frame = { number, nowMs, endpoint, frame };
    this.#child.send(sent);
    return outcome;
  }

  /** Stands still until it goes on: a machine that is suspended, a virtual one that is moved. */
  suspend(): void {
    this.#child.kill('SIGSTOP');
  }

  goOn(): void {
    this.#child.kill('SIGCONT');
  }

  async kill(): Promise<void> {
    const gone = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await gone;
  }
}

const tell = (said: Said): boolean | undefined => process.send?.(said);

async function serve(setting: SessionProcessSetting): Promise<void> {
  const { address, schema, serverKey, serverIdentity, devices } = setting;
  const database = await PostgresDatabase.open({
    address,
    schema,
    migrations: provisionerMigrations,
    use: 'shared',
    readers: 1,
  });
  let nowMs = 0;
  const { privateKey, publicKey } = importPkcs8(serverKey);
  const service = new SessionService({
    crypto: nodeCrypto,
    clock: { nowMs: () => nowMs },
    registry: {
      candidates: async (kid) =>
        devices.filter(({ agreeKey }) => equal(kidOfAgreeKey(nodeCrypto, agreeKey), kid)),
      candidateByKey: async (shown) => devices.find(({ agreeKey }) => equal(agreeKey, shown)),
      markEnrolled: async () => undefined,
    },
    store: new PostgresSessionStore(database),
    clones: new PostgresCloneStore(database),
    // The others may be alive.
    takeOver: false,
    sealing: contextSealing(nodeCrypto),
    agreement: {
      curve: 'P-256',
      publicKey,
      agree: async (peer) => {
        const secret = agreeP256(privateKey, peer);
        return secret === undefined ? undefined : nodeCrypto.exportSecret(secret);
      },
    },
    identity: readServerIdentity(nodeCrypto, serverIdentity),
    deliver: async ({ sessionId, sequenceNumber, payload }) => {
      tell({ kind: 'delivered', message: { sessionId, sequenceNumber, payload } });
    },
    observe: () => undefined,
  });
  const onFrame = async ({ number, endpoint, frame, ...sent }: Frame): Promise<void> => {
    nowMs = Math.floor(sent.nowMs);
    tell({ kind: 'outcome', number, outcome: await service.take(endpoint, frame) });
  };
  let last = Promise.resolve();
  process.on('message', (frame: Frame) => {
    last = last.then(() => onFrame(frame));
  });
  tell({ kind: 'ready' });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  process.once('message', (setting: SessionProcessSetting) => void serve(setting));
}
