/** A witness as a process of its own, on another machine than the logs it watches. */
import { join } from 'node:path';
import fastify from 'fastify';
import { KeyFolder } from '../../drivers/keys/software/keyFolder.ts';
import { nodeCrypto } from '../../drivers/keys/software/nodeCrypto.ts';
import { SoftwareVerifier } from '../../drivers/keys/software/verifier.ts';
import { WitnessFolder } from '../../drivers/store/files/witnessFolder.ts';
import { holdLock } from '../../drivers/store/sqlite/processLock.ts';
import { witnessRoutes } from '../../servers/http/witness.ts';
import { Witness, witnessKey } from '../../trust/audit/witness.ts';
import type { Clock } from '../../trust/ports/clock.ts';
import type { Signer } from '../../trust/ports/keys.ts';
import { toHex } from '../../wire/bytes/hex.ts';
import { encodeNoteKey, type NoteKey } from '../../wire/tlog/noteKey.ts';

export interface WitnessConfig {
  /** What was seen, and the key; made when it is missing. */
  readonly folder: string;
  readonly passphrase: string;
  /** Verifier keys of the logs that are watched. */
  readonly logs: readonly NoteKey[];
  readonly host: string;
  /** 0 lets the system choose. */
  readonly port: number;
  readonly clock?: Clock;
  /** For tests: a cost of the key file that protects nothing. */
  readonly keyCostLog2?: number;
  readonly onRefusal: (code: string, reason: string) => void;
}

export interface RunningWitness {
  readonly port: number;
  /** To be given to whoever runs the logs. */
  readonly key: string;
  close(): Promise<void>;
}

const keyName = 'witness';

/** Rejects with an `EnvironmentError` when another process has the folder or the passphrase is wrong. */
export async function startWitness(config: WitnessConfig): Promise<RunningWitness> {
  const signer = await openKey(config);
  const id = toHex(nodeCrypto.hash('SHA-256', signer.publicKeySpki).subarray(0, 8));
  const name = `birthmark.invalid/witness/${id}`;
  // Two processes over one memory could sign two histories.
  const lock = holdLock(join(config.folder, 'witness'));
  try {
    const witness = new Witness({
      name,
      logs: config.logs,
      memory: new WitnessFolder(config.folder),
      crypto: nodeCrypto,
      verifier: new SoftwareVerifier(),
      clock: config.clock ?? { nowMs: Date.now },
      signer,
    });
    const app = fastify({ logger: false, forceCloseConnections: true });
    witnessRoutes(app, { witness, onRefusal: config.onRefusal });
    await app.listen({ host: config.host, port: config.port });
    const address = app.server.address();
    return {
      port: typeof address === 'object' && address !== null ? address.port : config.port,
      key: encodeNoteKey(witnessKey(nodeCrypto, name, signer)),
      close: async () => {
        await app.close();
        lock.release();
      },
    };
  } catch (error) {
    lock.release();
    throw error;
  }
}

async function openKey({ folder, passphrase, keyCostLog2 }: WitnessConfig): Promise<Signer> {
  const cost = keyCostLog2 === undefined ? {} : { costLog2: keyCostLog2 };
  const keys = await KeyFolder.open({ folder: join(folder, 'keys'), passphrase, ...cost });
  if (!(await keys.names()).includes(keyName)) await keys.create(keyName, 'ed25519-sign');
  return keys.noteSigner(keyName);
}
