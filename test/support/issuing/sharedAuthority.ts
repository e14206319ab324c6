/**
 * One of several authorities on one PostgreSQL, in a process of its own and to be killed: it answers over
 * its channel what stations ask, as `birthmark serve` would over its socket.
 */
import { createPrivateKey } from 'node:crypto';
import { nodeCrypto } from '../../../src/drivers/keys/software/nodeCrypto.ts';
import { SoftwareVerifier } from '../../../src/drivers/keys/software/verifier.ts';
import { PostgresDatabase } from '../../../src/drivers/store/postgres/database.ts';
import { issuingMigrations } from '../../../src/drivers/store/postgres/issuingTables.ts';
import { PostgresIssuanceStore } from '../../../src/drivers/store/postgres/issuanceStore.ts';
import { PostgresOrderStore } from '../../../src/drivers/store/postgres/orderStore.ts';
import { Issuance } from '../../../src/trust/issuance/issuance.ts';
import { issuerFrom } from '../../../src/trust/issuance/issuer.ts';
import { builtInProfiles } from '../../../src/trust/issuance/profiles.ts';
import { LineService } from '../../../src/trust/personalization/lineService.ts';
import type { LineStep } from '../../../src/trust/ports/lineTransport.ts';
import type { StoreAddress } from '../../../src/drivers/store/postgres/address.ts';
import { testSigner, xorSeal } from './world.ts';

export interface SharedSetting {
  readonly address: StoreAddress;
  readonly schema: string;
  readonly nowMs: number;
  /** PKCS#8, base64. */
  readonly keys: { readonly factory: string; readonly order: string };
  /** DER, base64. */
  readonly certificates: { readonly factory: string; readonly server: string };
}

export interface Asked {
  readonly number: number;
  readonly step: LineStep;
  readonly request: string;
}

/** `message`: a request that failed. Without a number: it is ready. */
export interface Answered {
  readonly number?: number;
  readonly answer?: string;
  readonly message?: string;
}

if (process.send !== undefined) await answer(JSON.parse(process.argv[2] ?? '') as SharedSetting);

async function answer({ address, schema, ...setting }: SharedSetting): Promise<void> {
  const database = await PostgresDatabase.open({
    address,
    schema,
    migrations: issuingMigrations,
    use: 'shared',
  });
  const line = await lineOf(database, setting);
  process.on('message', (message) => {
    const { number, step, request } = message as Asked;
    line
      .answer(step, new Uint8Array(Buffer.from(request, 'base64')))
      .then((bytes) => tell({ number, answer: Buffer.from(bytes).toString('base64') }))
      .catch((error: unknown) => tell({ number, message: String(error) }));
  });
  process.once('disconnect', () => void database.close());
  tell({});
}

async function lineOf(
  database: PostgresDatabase,
  { nowMs, keys, certificates }: Omit<SharedSetting, 'address' | 'schema'>,
): Promise<LineService> {
  const [crypto, clock] = [nodeCrypto, { nowMs: () => nowMs }];
  const issuance = new Issuance({
    store: new PostgresIssuanceStore(database),
    crypto,
    clock,
    profiles: builtInProfiles,
    issuers: [issuerFrom('factory', bytesOf(certificates.factory), signerOf(keys.factory))],
  });
  await issuance.recover();
  return new LineService({
    crypto,
    clock,
    store: new PostgresOrderStore(database),
    issuance,
    verifier: new SoftwareVerifier(),
    orderKey: signerOf(keys.order),
    sealingKey: xorSeal,
    anchors: [bytesOf(certificates.server)],
    chain: () => [bytesOf(certificates.factory)],
  });
}

function tell(answered: Answered): void {
  if (process.connected) process.send?.(answered);
}

function signerOf(key: string): ReturnType<typeof testSigner> {
  return testSigner(
    createPrivateKey({ key: Buffer.from(key, 'base64'), format: 'der', type: 'pkcs8' }),
  );
}

function bytesOf(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, 'base64'));
}
