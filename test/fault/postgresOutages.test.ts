/**
 * A server whose disk is full, or that takes no writes: the authority refuses clearly what needs its
 * database to write, serves everything else, and goes on by itself when it is over. The faults are the
 * server's own answers: a default that new sessions get, a right that was taken away, and SQLSTATE 53100 as
 * a full disk raises it.
 */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { authorityPaths, readCertificateFile } from '../../src/apps/authority/authorityFolder.ts';
import { socketPathFor } from '../../src/apps/socketPath.ts';
import { readStoreSetting } from '../../src/apps/storeSetting.ts';
import { nodeCrypto } from '../../src/drivers/keys/software/nodeCrypto.ts';
import { StatusClient } from '../../src/drivers/links/local/statusClient.ts';
import { EnvironmentError } from '../../src/trust/ports/faults.ts';
import { encodeCertId, encodeOcspRequest } from '../../src/wire/ocsp/request.ts';
import { parseCertificate } from '../../src/wire/x509/certificate.ts';
import { Installation } from '../support/installation.ts';
import { testElement } from '../support/issuing/station.ts';
import { postgresMissing } from '../support/postgres.ts';
import { testServer } from '../support/storeBackends.ts';

const server = testServer();
const tables = ['issuances', 'audit_leaves', 'revocations', 'orders', 'list_entries'];
const noRoom = 'could not extend file: No space left on device';

interface Outage {
  readonly name: string;
  /** Statements of the server's owner, in the database of that name unless `isBeside`. */
  readonly begin: (database: string) => readonly string[];
  readonly end: (database: string) => readonly string[];
  /** Said in another database: in this one nothing can be written. */
  readonly isBeside?: boolean;
  /** What whoever asks at this machine is told. */
  readonly message: RegExp;
}

const outages: readonly Outage[] = [
  {
    name: 'a full disk',
    begin: () => [
      `CREATE FUNCTION public.no_room() RETURNS trigger LANGUAGE plpgsql AS
       $$ BEGIN RAISE EXCEPTION '${noRoom}' USING ERRCODE = '53100'; END $$`,
      ...tables.map(
        (table) =>
          `CREATE TRIGGER no_room BEFORE INSERT OR UPDATE ON birthmark_authority.${table}
           EXECUTE FUNCTION public.no_room()`,
      ),
    ],
    end: () => ['DROP FUNCTION public.no_room CASCADE'],
    message: /cannot write the database: the disk is full/,
  },
  {
    name: 'a database that is read-only',
    // A default of sessions that begin, as a server that became a copy of another gives it.
    begin: (database) => [
      `ALTER DATABASE ${database} SET default_transaction_read_only = on`,
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'maker'`,
    ],
    end: (database) => [`ALTER DATABASE ${database} RESET default_transaction_read_only`],
    isBeside: true,
    message: /cannot write the database: it is read-only/,
  },
  {
    name: 'a role without rights',
    begin: () =>
      tables.map(
        (table) => `REVOKE INSERT, UPDATE, DELETE ON birthmark_authority.${table} FROM maker`,
      ),
    end: () =>
      tables.map(
        (table) => `GRANT INSERT, UPDATE, DELETE ON birthmark_authority.${table} TO maker`,
      ),
    message: /access was denied/,
  },
];

async function asOwner(
  statements: Outage['begin'],
  { isBeside = false }: Outage,
  database: string,
): Promise<void> {
  await server().query(statements(database).join('; '), isBeside ? undefined : database);
}

/** Of a database of its own, whose owner is no superuser. */
async function installed(context: TestContext, database: string): Promise<Installation> {
  await server().query(
    `DO $$ BEGIN CREATE ROLE maker LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$`,
  );
  await server().query(`CREATE DATABASE ${database} OWNER maker`);
  const url = server().url.replace('birthmark@', 'maker@').replace('/postgres?', `/${database}?`);
  const status = { baseUrl: 'http://status.example', shards: 1 };
  return Installation.create(context, { store: readStoreSetting(url, {}), status });
}

/** About the certificate of the signer of manifests: signed by a key in memory. */
async function statusAnswer({ folder }: Installation): Promise<boolean> {
  const paths = authorityPaths(folder);
  const { subject, publicKey } = parseCertificate(await readCertificateFile(paths, 'server'));
  const { serialNumber } = parseCertificate(await readCertificateFile(paths, 'manifest'));
  const certId = encodeCertId({
    hashAlgorithm: 'SHA-256',
    issuerNameHash: nodeCrypto.hash('SHA-256', subject.der),
    issuerKeyHash: nodeCrypto.hash('SHA-256', publicKey.key),
    serialNumber,
  });
  const client = new StatusClient(socketPathFor(folder, 'authority'));
  try {
    const answer = await client.ocsp('server', encodeOcspRequest(certId));
    return typeof answer !== 'string' && (await client.lists()).length > 0;
  } finally {
    client.close();
  }
}

for (const [index, outage] of outages.entries()) {
  const { name, begin, end, message } = outage;
  test(
    `${name}: refused clearly, served otherwise, over when it is over`,
    { skip: postgresMissing },
    async (context) => {
      const database = `outage_${index}`;
      const installation = await installed(context, database);
      await installation.serve(async (house) => {
        const ticket = await house.ticket('before', 10);
        const element = testElement(`${name} before`);
        const [born] = await house.endorse(ticket, [element]);
        assert.ok(born !== undefined);
        assert.ok(await statusAnswer(installation));

        await asOwner(begin, outage, database);
        const failed = (error: unknown): boolean =>
          error instanceof EnvironmentError && error.retryable;
        const told = (error: unknown): boolean =>
          error instanceof EnvironmentError && message.test(error.message);
        await assert.rejects(house.births(ticket, [`${name} meanwhile`]), failed);
        await assert.rejects(house.ticket('meanwhile', 1), told);
        await assert.rejects(house.revoke([born.deviceId]), told);
        // Who was born is found, and what needs no writing is answered.
        const [again] = await house.endorse(ticket, [element]);
        assert.deepEqual(again, born);
        assert.ok(await statusAnswer(installation));
        assert.equal((await house.client.status()).revoked, 0);

        await asOwner(end, outage, database);
        assert.equal((await house.births(ticket, [`${name} meanwhile`])).length, 1);
        await house.ticket('afterwards', 1);
        await house.revoke([born.deviceId]);
        assert.equal((await house.client.status()).revoked, 1);
      });
      const { faults, unfinished } = await installation.fsck();
      assert.deepEqual([faults, unfinished], [[], 0]);
    },
  );
}
