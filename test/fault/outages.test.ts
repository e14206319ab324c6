/**
 * A disk that is full or read-only, a key that is away: who needs it is refused clearly and can come again,
 * everybody else is served, and the same process goes on when it is over. The faults are SQLite's own
 * (max_page_count, query_only on the very connection that writes), so that no disk has to be filled.
 */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { LedgerFolder, readLedger } from '../../src/drivers/store/files/ledgerFolder.ts';
import { TileFolder } from '../../src/drivers/store/files/tileFolder.ts';
import { EnvironmentError } from '../../src/trust/ports/faults.ts';
import { isEndorsed, readEndorseAnswer } from '../../src/wire/line/endorsement.ts';
import { encodeOcspRequest } from '../../src/wire/ocsp/request.ts';
import { broken } from '../support/issuing/faults.ts';
import { testElement, TestStation, unitRequest } from '../support/issuing/station.ts';
import { type Between, testSigner } from '../support/issuing/world.ts';
import { deviceIdOf } from '../support/registrySamples.ts';
import { type OpenStatus, StatusWorld } from '../support/status.ts';

interface House {
  readonly world: StatusWorld;
  readonly open: OpenStatus;
  readonly station: TestStation;
  readonly serialNumber: Uint8Array;
  /** Of the keys of authorities. */
  readonly keys: { away: boolean };
}

async function openHouse(context: TestContext, between: Between = {}): Promise<House> {
  const keys = { away: false };
  const world = await StatusWorld.create(context, {
    between: {
      ...between,
      signer: (signer) => ({
        ...signer,
        sign: async (data) => {
          if (keys.away) throw broken();
          return signer.sign(data);
        },
      }),
    },
  });
  const open = await world.open();
  const signer = testSigner();
  const ticket = await world.world.ticket(open.authority, signer, 10);
  const { line } = open.authority;
  const station = new TestStation(line, world.world.keys.order, ticket.signed, signer);
  const { serialNumber } = await world.issue(open, deviceIdOf(1));
  await open.lists.advance();
  return { world, open, station, serialNumber, keys };
}

/** Its signature is by a responder's key, which is certified at the first question. */
async function statusAnswer({ world, open, serialNumber }: House): Promise<boolean> {
  const certId = world.certId('operational', serialNumber, 'SHA-256');
  const answer = await open.responder.answer('operational', encodeOcspRequest(certId));
  return typeof answer === 'object';
}

async function birth({ station }: House, name: string): Promise<string> {
  const request = station.endorseRequest([await unitRequest(known(name))]);
  const [unit] = readEndorseAnswer(await station.ask('endorse', request)).units;
  assert.ok(unit);
  return isEndorsed(unit) ? Buffer.from(unit.certificate).toString('hex') : unit.code;
}

const elements = new Map<string, ReturnType<typeof testElement>>();

function known(name: string): ReturnType<typeof testElement> {
  const element = elements.get(name) ?? testElement(name);
  elements.set(name, element);
  return element;
}

const pragma = ({ open }: House, text: string): Promise<void> =>
  open.authority.database.read((connection) => void connection.prepare(`PRAGMA ${text}`).all());

const outages: ReadonlyArray<{
  readonly name: string;
  readonly begin: (house: House) => Promise<void> | void;
  readonly end: (house: House) => Promise<void> | void;
  readonly message: RegExp;
  /** What becomes of a revocation: on a full disk its page may have room. */
  readonly revocation: 'taken' | 'refused' | 'either';
}> = [
  {
    name: 'a full disk',
    begin: (house) => pragma(house, 'max_page_count = 1'),
    end: (house) => pragma(house, 'max_page_count = 1000000'),
    message: /cannot write the database: the disk is full/,
    revocation: 'either',
  },
  {
    name: 'a read-only disk',
    begin: (house) => pragma(house, 'query_only = ON'),
    end: (house) => pragma(house, 'query_only = OFF'),
    message: /cannot write the database: it is read-only/,
    revocation: 'refused',
  },
  {
    name: 'a key that is away',
    begin: ({ keys }) => void (keys.away = true),
    end: ({ keys }) => void (keys.away = false),
    message: /the disk reports an error/,
    revocation: 'taken',
  },
];

for (const { name, begin, end, message, revocation } of outages) {
  test(`${name}: refused clearly, served otherwise, and over when it is over`, async (context) => {
    const house = await openHouse(context);
    const { world, open, serialNumber } = house;
    const before = await birth(house, 'before');
    assert.ok(await statusAnswer(house));
    const refused = (error: unknown): boolean =>
      error instanceof EnvironmentError && error.retryable && message.test(error.message);

    await begin(house);
    // Enough of them to need a new page.
    await assert.rejects(
      Promise.all(Array.from({ length: 8 }, (_, index) => birth(house, `meanwhile ${index}`))),
      refused,
    );
    const revoking = world.change(open, serialNumber, 'keyCompromise');
    const [revoked] = await Promise.allSettled([revoking]);
    assert.ok(revoked.status === 'fulfilled' || refused(revoked.reason));
    if (revocation !== 'either') {
      assert.equal(revoked.status === 'fulfilled', revocation === 'taken');
    }
    // What was made before is found, and answers about status are signed by keys of their own.
    assert.equal(await birth(house, 'before'), before);
    assert.ok(await open.store.list({ authority: 'operational', shard: 0 }));
    assert.ok(await statusAnswer(house));

    await end(house);
    for (let index = 0; index < 8; index++) {
      assert.match(await birth(house, `meanwhile ${index}`), /^30/);
    }
    assert.equal(
      await world.change(open, serialNumber, 'keyCompromise'),
      revoked.status !== 'fulfilled',
    );
    assert.ok((await open.lists.advance()) > 0);
    await world.world.logHead(open.authority);
    assert.deepEqual((await world.world.fsck()).faults, []);
  });
}

/** A folder that cannot be written, whoever runs the test: a file has its name while it is away. */
class AwayFolder {
  readonly path: string;

  constructor(context: TestContext) {
    const above = mkdtempSync(join(tmpdir(), 'birthmark-away-'));
    context.after(() => rmSync(above, { recursive: true }));
    this.path = join(above, 'folder');
  }

  begin(): void {
    if (existsSync(this.path)) renameSync(this.path, `${this.path}.kept`);
    writeFileSync(this.path, '');
  }

  end(): void {
    rmSync(this.path);
    if (existsSync(`${this.path}.kept`)) renameSync(`${this.path}.kept`, this.path);
  }
}

const cannotWrite = (error: unknown): boolean =>
  error instanceof EnvironmentError && error.retryable && /cannot write/.test(error.message);

test('the files of the log cannot be written: births go on, and the log takes them in later', async (context) => {
  const folder = new AwayFolder(context);
  const house = await openHouse(context, { tiles: () => new TileFolder(folder.path) });
  const { world, open } = house;
  const log = await open.authority.openLog();
  await birth(house, 'before');
  const { treeSize } = await log.advance();
  folder.begin();
  assert.match(await birth(house, 'meanwhile 0'), /^30/);
  await assert.rejects(log.advance(), cannotWrite);
  assert.match(await birth(house, 'meanwhile 1'), /^30/);
  folder.end();
  assert.equal((await log.advance()).treeSize, treeSize + 2);
  assert.deepEqual((await world.world.fsck()).faults, []);
});

test('the ledger is out of reach: no order and no ticket, everything else goes on', async (context) => {
  const folder = new AwayFolder(context);
  const house = await openHouse(context, { ledger: new LedgerFolder(folder.path) });
  const { world, open } = house;
  folder.begin();
  const more = (): Promise<unknown> =>
    world.world.ticket(open.authority, testSigner(), 10, 'order-2');
  await assert.rejects(more(), cannotWrite);
  assert.match(await birth(house, 'meanwhile 0'), /^30/);
  folder.end();
  await more();
  const noted = await readLedger(folder.path);
  assert.deepEqual(
    noted.map(({ kind }) => kind),
    ['order', 'ticket', 'order', 'ticket'],
  );
  await world.world.logHead(open.authority);
  assert.deepEqual((await world.world.fsck()).faults, []);
});
