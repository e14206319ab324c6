/** T1 and T2 of issuing on PostgreSQL. This is the hot path: callers are gathered, statements are about all. */
import type {
  Completion,
  Intent,
  IntentOutcome,
  IssuanceStore,
  IssuedCertificate,
  Promises,
  Revocation,
  UnfinishedIntent,
} from '../../../trust/ports/issuanceStore.ts';
import { EnvironmentError } from '../../../trust/ports/faults.ts';
import { proofLevels } from '../../../wire/line/ticket.ts';
import { FinishedMark, finishedSetting } from '../sqlite/finishedMark.ts';
import { issuedOf, promisesOf, unfinishedOf } from '../sqlite/issuanceStore.ts';
import { blob, integer, text } from '../sqlite/rows.ts';
import { appendLeaves } from './auditStore.ts';
import type { Connection } from './connection.ts';
import type { PostgresDatabase } from './database.ts';
import { Gathering } from './gathering.ts';
import { grantsOf, keysOf, Quotas } from './quotas.ts';
import { revokeAll } from './statusRows.ts';

export class PostgresIssuanceStore implements IssuanceStore {
  readonly #database: PostgresDatabase;
  #finished: FinishedMark | undefined;
  readonly #begin: Gathering<Intent, IntentOutcome>;
  readonly #complete: Gathering<Completion, Uint8Array | undefined>;

  /** The database has to hold the tables of `issuingMigrations`. */
  constructor(database: PostgresDatabase) {
    this.#database = database;
    this.#begin = new Gathering(database, begin);
    this.#complete = new Gathering(database, complete);
  }

  begin(intents: readonly Intent[]): Promise<readonly IntentOutcome[]> {
    return this.#begin.call(intents);
  }

  async complete(completions: readonly Completion[]): Promise<ReadonlyMap<number, Uint8Array>> {
    const earlier = await this.#complete.call(completions);
    return new Map(
      completions.flatMap(({ id }, index) => {
        const signature = earlier[index];
        return signature === undefined ? [] : [[id, signature] as const];
      }),
    );
  }

  async unfinished(afterId: number, limit: number): Promise<readonly UnfinishedIntent[]> {
    const { found, worthStoring } = await this.#database.read(async (connection) => {
      const mark = (this.#finished ??= new FinishedMark(await storedMark(connection)));
      const last = integer((await connection.first(selectLastId)) ?? {}, 'id');
      const start = mark.from(afterId);
      const found: UnfinishedIntent[] = [];
      // Almost all are finished: in steps, so that no statement takes long however many there are.
      for (let from = start; from < last && found.length < limit; from += stepOfIds) {
        const left = limit - found.length;
        const rows = await connection.all(selectUnfinished, from, from + stepOfIds, left);
        found.push(...rows.map(unfinishedOf));
      }
      return { found, worthStoring: mark.found(start, found[0]?.id, last) };
    });
    if (worthStoring !== undefined) await this.#storeMark(worthStoring);
    return found;
  }

  certificatesOf(holder: string): Promise<readonly IssuedCertificate[]> {
    return this.#database.read(async (connection) =>
      (await connection.all(selectOfHolder, holder)).map(issuedOf),
    );
  }

  promisesTo(holder: string): Promise<Promises> {
    return this.#database.read(async (connection) =>
      promisesOf(await connection.all(selectPromised, holder)),
    );
  }

  stoppedOf(holder: string): Promise<readonly IssuedCertificate[]> {
    return this.#database.read(async (connection) =>
      (await connection.all(selectStopped, holder)).map(issuedOf),
    );
  }

  certificateBySerial(serialNumber: Uint8Array): Promise<IssuedCertificate | undefined> {
    return this.#database.read(async (connection) => {
      const row = await connection.first(`${selectIssued} WHERE serial = $1`, serialNumber);
      return row === undefined ? undefined : issuedOf(row);
    });
  }

  holderOfKey(keyIdentifier: Uint8Array): Promise<string | undefined> {
    return this.#database.read(async (connection) => {
      const row = await connection.first(selectHolderOfKey, keyIdentifier);
      return row === undefined ? undefined : text(row, 'holder');
    });
  }

  revoke(revocations: readonly Revocation[]): Promise<number> {
    return this.#database.transact((connection) => revokeAll(connection, revocations));
  }

  countCertificates(): Promise<{ readonly issued: number; readonly revoked: number }> {
    return this.#database.read(async (connection) => {
      const row = (await connection.first(selectCounts)) ?? {};
      return { issued: integer(row, 'issued'), revoked: integer(row, 'revoked') };
    });
  }

  /** What cannot be written is found out again. */
  async #storeMark(value: Uint8Array): Promise<void> {
    const save = `INSERT INTO settings VALUES ($1, $2)
      ON CONFLICT (name) DO UPDATE SET value = excluded.value`;
    await this.#database
      .transact((connection) => connection.run(save, finishedSetting, value))
      .catch((error: unknown) => {
        if (!(error instanceof EnvironmentError)) throw error;
      });
  }
}

interface Accepted {
  readonly id: number;
  readonly intent: Intent;
  readonly ticket: number | undefined;
  readonly eui64: Uint8Array | undefined;
}

async function begin(
  connection: Connection,
  intents: readonly Intent[],
): Promise<readonly IntentOutcome[]> {
  const quotas = await Quotas.read(connection, intents);
  let id = integer((await connection.first(selectLastId)) ?? {}, 'id');
  const accepted: Accepted[] = [];
  const outcomes = intents.map((intent): IntentOutcome => {
    const verdict = quotas.judge(intent);
    if (!('ticket' in verdict)) return verdict;
    id += 1;
    accepted.push({ id, intent, ...verdict });
    return { taken: id, eui64: verdict.eui64 };
  });
  if (accepted.length === 0) return outcomes;
  await insertIssuances(connection, accepted);
  await insertUnits(connection, accepted);
  await spendGrants(connection, accepted);
  await revokeAll(
    connection,
    accepted.flatMap(({ intent }) => intent.replaces?.superseded ?? []),
  );
  await quotas.save(connection);
  return outcomes;
}

async function complete(
  connection: Connection,
  completions: readonly Completion[],
): Promise<ReadonlyArray<Uint8Array | undefined>> {
  const first = new Map<number, Completion>();
  for (const completion of completions) {
    if (!first.has(completion.id)) first.set(completion.id, completion);
  }
  const all = [...first.values()];
  const signed = await connection.all(
    `INSERT INTO signatures SELECT * FROM unnest($1::bigint[], $2::bytea[])
     ON CONFLICT DO NOTHING RETURNING id`,
    all.map(({ id }) => id),
    all.map(({ signature }) => signature),
  );
  const made = new Set(signed.map((row) => integer(row, 'id')));
  const leaves = all.flatMap(({ id, entry }) => (made.has(id) ? [entry] : []));
  await appendLeaves(connection, leaves);
  const present = all.flatMap(({ id }) => (made.has(id) ? [] : [id]));
  const earlier = await signaturesOf(connection, present);
  return completions.map((completion) => {
    const { id } = completion;
    if (!made.has(id)) return earlier.get(id);
    return first.get(id) === completion ? undefined : first.get(id)?.signature;
  });
}

async function signaturesOf(
  connection: Connection,
  ids: readonly number[],
): Promise<ReadonlyMap<number, Uint8Array>> {
  if (ids.length === 0) return new Map();
  const rows = await connection.all('SELECT * FROM signatures WHERE id = ANY($1::bigint[])', ids);
  return new Map(rows.map((row) => [integer(row, 'id'), blob(row, 'signature')]));
}

async function insertIssuances(
  connection: Connection,
  accepted: readonly Accepted[],
): Promise<void> {
  const intents = accepted.map(({ intent }) => intent);
  await connection.run(
    `INSERT INTO issuances
       (id, serial, issuer, profile, holder, key_id, prepared_ms, not_after_ms, tbs)
     SELECT * FROM unnest($1::bigint[], $2::bytea[], $3::text[], $4::text[], $5::text[], $6::bytea[],
       $7::bigint[], $8::bigint[], $9::bytea[])`,
    accepted.map(({ id }) => id),
    intents.map(({ serialNumber }) => serialNumber),
    intents.map(({ issuer }) => issuer),
    intents.map(({ profile }) => profile),
    intents.map(({ unit, holder }) => (unit === undefined ? holder : null)),
    intents.map(({ keyIdentifier }) => keyIdentifier),
    intents.map(({ preparedMs }) => preparedMs),
    intents.map(({ notAfterMs }) => notAfterMs),
    intents.map(({ tbs }) => tbs),
  );
}

async function insertUnits(connection: Connection, accepted: readonly Accepted[]): Promise<void> {
  const units = accepted.flatMap(({ intent, ticket, eui64, id }) => {
    const { unit, holder } = intent;
    if (unit === undefined || ticket === undefined || eui64 === undefined) return [];
    return { ...unit, id, ticket, eui64, deviceId: holder, keys: keysOf(intent) };
  });
  if (units.length === 0) return;
  await connection.run(
    `INSERT INTO units (id, ticket, family, uid, model, firmware, proof, device_id, eui64, agree_key)
     SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::bytea[], $5::text[], $6::text[],
       $7::integer[], $8::text[], $9::bytea[], $10::bytea[])`,
    units.map(({ id }) => id),
    units.map(({ ticket }) => ticket),
    units.map(({ family }) => family),
    units.map(({ uid }) => uid),
    units.map(({ model }) => model),
    units.map(({ firmware }) => firmware),
    units.map(({ proofLevel }) => proofLevels.indexOf(proofLevel)),
    units.map(({ deviceId }) => deviceId),
    units.map(({ eui64 }) => eui64),
    units.map(({ agreeKey }) => agreeKey?.point ?? null),
  );
  await connection.run(
    'INSERT INTO unit_keys SELECT * FROM unnest($1::bytea[], $2::bigint[])',
    units.flatMap(({ keys }) => keys),
    units.flatMap(({ keys, id }) => keys.map(() => id)),
  );
}

async function spendGrants(connection: Connection, accepted: readonly Accepted[]): Promise<void> {
  for (const kind of ['secret', 'approval'] as const) {
    const spent = accepted.flatMap(({ intent, id }) =>
      grantsOf(intent, kind).map((grant) => ({ grant, id })),
    );
    if (spent.length === 0) continue;
    await connection.run(
      spend[kind],
      spent.map(({ grant }) => grant),
      spent.map(({ id }) => id),
    );
  }
}

const spend = {
  secret: `UPDATE enrolment_secrets SET issuance = spent.issuance
    FROM unnest($1::bigint[], $2::bigint[]) AS spent (id, issuance)
    WHERE enrolment_secrets.id = spent.id`,
  approval: `UPDATE enrolment_approvals SET issuance = spent.issuance
    FROM unnest($1::bigint[], $2::bigint[]) AS spent (id, issuance)
    WHERE enrolment_approvals.id = spent.id`,
} as const;

async function storedMark(connection: Connection): Promise<Uint8Array | undefined> {
  const sql = 'SELECT value FROM settings WHERE name = $1';
  const row = await connection.first(sql, finishedSetting);
  return row === undefined ? undefined : blob(row, 'value');
}

const selectLastId = 'SELECT coalesce(max(id), 0) AS id FROM issuances';

const stepOfIds = 100_000;

const selectUnfinished = `
  SELECT issuances.id, issuer, profile, serial, coalesce(holder, device_id) AS holder,
         prepared_ms, tbs, ticket_id
  FROM issuances
  LEFT JOIN units USING (id)
  LEFT JOIN tickets ON tickets.id = units.ticket
  WHERE issuances.id > $1 AND issuances.id <= $2
    AND NOT EXISTS (SELECT FROM signatures WHERE signatures.id = issuances.id)
  ORDER BY issuances.id LIMIT $3`;

const selectIssued = `
  SELECT issuer, profile, serial, coalesce(holder, device_id) AS holder, tbs, signature,
         issuances.not_after_ms, revocations.at_ms AS revoked_ms, code
  FROM issuances
  JOIN signatures USING (id)
  LEFT JOIN units USING (id)
  LEFT JOIN revocations USING (id)
  LEFT JOIN list_entries ON certificate = issuances.id`;

const idsOfHolder =
  'SELECT id FROM issuances WHERE holder = $1 UNION ALL SELECT id FROM units WHERE device_id = $1';

const selectOfHolder = `${selectIssued} WHERE issuances.id IN (${idsOfHolder}) ORDER BY issuances.id`;

// The others are found by their ids alone, without a look at what they say.
const selectStopped = `${selectIssued} WHERE issuances.id IN (
    SELECT own.id FROM (${idsOfHolder}) AS own
    WHERE EXISTS (SELECT 1 FROM revocations WHERE revocations.id = own.id)
      OR EXISTS (SELECT 1 FROM list_entries WHERE certificate = own.id AND code IS NOT NULL)
  )
  ORDER BY issuances.id`;

// One row at least: the last intent of a holder may be one that counts no more.
const selectPromised = `
  SELECT latest.id AS latest, issuances.id, issuer, profile, serial, holder, tbs, signature,
         issuances.not_after_ms, NULL::bigint AS revoked_ms, code
  FROM (SELECT coalesce(max(id), 0) AS id FROM issuances WHERE holder = $1) AS latest
  LEFT JOIN issuances ON holder = $1
    AND NOT EXISTS (SELECT FROM revocations WHERE revocations.id = issuances.id)
  LEFT JOIN signatures ON signatures.id = issuances.id
  LEFT JOIN list_entries ON certificate = issuances.id
  ORDER BY issuances.id`;

const selectHolderOfKey = `
  SELECT holder FROM (
    SELECT device_id AS holder, 0 AS id FROM unit_keys JOIN units ON units.id = unit
    WHERE key_id = $1
    UNION ALL
    SELECT holder, id FROM issuances WHERE key_id = $1 AND holder IS NOT NULL
  ) AS known
  ORDER BY id LIMIT 1`;

const selectCounts = `
  SELECT (SELECT count(*) FROM signatures) AS issued, (SELECT count(*) FROM revocations) AS revoked`;
