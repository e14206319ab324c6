/**
 * Two authorities, two processes, one PostgreSQL, one ticket: stations ask both for the same elements, and
 * one of the two is killed in the middle. No identity too many, no element with two, nothing signed that is
 * not recorded, and what was answered by either is what is recorded.
 */
import { alone } from '../support/alone.ts';
import assert from 'node:assert/strict';
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { fsck } from '../../src/apps/fsck/fsck.ts';
import { nodeCrypto } from '../../src/drivers/keys/software/nodeCrypto.ts';
import { issuingMigrations } from '../../src/drivers/store/postgres/issuingTables.ts';
import { PostgresOrderStore } from '../../src/drivers/store/postgres/orderStore.ts';
import { openPostgresSnapshot } from '../../src/drivers/store/postgres/snapshot.ts';
import { Issuance } from '../../src/trust/issuance/issuance.ts';
import { builtInProfiles } from '../../src/trust/issuance/profiles.ts';
import { certificateOf } from '../../src/trust/personalization/endorse.ts';
import { Orders } from '../../src/trust/personalization/orders.ts';
import { isRefusal } from '../../src/trust/ports/faults.ts';
import type { Signer } from '../../src/trust/ports/keys.ts';
import type { LineStep } from '../../src/trust/ports/lineTransport.ts';
import { toHex } from '../../src/wire/bytes/hex.ts';
import { isEndorsed, readEndorseAnswer } from '../../src/wire/line/endorsement.ts';
import type { Answered, Asked, SharedSetting } from '../support/issuing/sharedAuthority.ts';
import {
  signed,
  type TestElement,
  testElement,
  TestStation,
  unitRequest,
} from '../support/issuing/station.ts';
import { testSigner, World } from '../support/issuing/world.ts';
import { postgresMissing } from '../support/postgres.ts';
import { testServer } from '../support/storeBackends.ts';

const program = fileURLToPath(new URL('../support/issuing/sharedAuthority.ts', import.meta.url));
const server = testServer();
const quota = 2_000;
const elementsInHand = 2_200;
const unitsPerRequest = 100;
const dayMs = 86_400_000;

class Killed extends Error {}

type Asking = Parameters<SharedAuthority['answer']>;

/** A process, and what waits for its answers. */
class SharedAuthority {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, PromiseWithResolvers<Uint8Array>>();
  #asked = 0;

  private constructor(child: ChildProcess) {
    this.#child = child;
    child.on('message', (message) => {
      const { number = 0, answer, message: problem } = message as Answered;
      const waiting = this.#waiting.get(number);
      this.#waiting.delete(number);
      if (answer === undefined) waiting?.reject(new Error(problem));
      else waiting?.resolve(new Uint8Array(Buffer.from(answer, 'base64')));
    });
    child.on('exit', () => {
      for (const { reject } of this.#waiting.values()) reject(new Killed());
    });
  }

  static async start(context: TestContext, setting: SharedSetting): Promise<SharedAuthority> {
    const child = fork(program, [JSON.stringify(setting)], {
      execArgv: ['--disable-warning=ExperimentalWarning'],
    });
    context.after(() => child.kill('SIGKILL'));
    await once(child, 'message');
    return new SharedAuthority(child);
  }

  answer(step: LineStep, request: Uint8Array): Promise<Uint8Array> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) throw new Killed();
    this.#asked += 1;
    const waiting = Promise.withResolvers<Uint8Array>();
    this.#waiting.set(this.#asked, waiting);
    const asked: Asked = {
      number: this.#asked,
      step,
      request: Buffer.from(request).toString('base64'),
    };
    this.#child.send(asked);
    return waiting.promise;
  }

  async kill(): Promise<void> {
    const gone = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await gone;
  }

  stop(): void {
    this.#child.disconnect();
  }
}

async function openShop(world: World, schema: string) {
  const database = await server().open({ migrations: issuingMigrations, schema, use: 'shared' });
  const store = new PostgresOrderStore(database);
  const { clock, keys } = world;
  const eui64Base = Uint8Array.of(2, 0, 0, 0xff, 0xfe, 0, 0, 0);
  const orders = new Orders({
    crypto: nodeCrypto,
    clock,
    store,
    orderKey: keys.order,
    bears: () => true,
    eui64Base,
  });
  const station = new TestStation(
    { answer: () => Promise.reject(new Error()) },
    keys.order,
    new Uint8Array(0),
  );
  const made = await orders.create(
    await alone('order.create', {
      order: 'order-1',
      product: 'sensor',
      family: 'software',
      hwType: '1.3.6.1.4.1.32473.1',
      partNumber: 'S-1',
      quantity: elementsInHand,
      leastProof: 'line-anchored',
      serverIdentity: Uint8Array.of(0xa1, 1, 2),
    }),
  );
  const ticket = await orders.issueTicket(
    await alone('ticket.issue', {
      batch: 'order-1',
      count: quota,
      stationKeySpki: station.signer.publicKeySpki,
      notBeforeMs: world.nowMs - dayMs,
      notAfterMs: world.nowMs + dayMs,
    }),
  );
  assert.ok(!isRefusal(made) && !isRefusal(ticket));
  return { signer: station.signer, ticket: ticket.signed };
}

function settingOf(world: World, schema: string): SharedSetting {
  const pkcs8 = (role: 'factory' | 'order') =>
    world.keys[role].privateKey.export({ format: 'der', type: 'pkcs8' }).toString('base64');
  const der = (role: string) => Buffer.from(world.certificateOf(role)).toString('base64');
  return {
    address: server().address,
    schema,
    nowMs: world.nowMs,
    keys: { factory: pkcs8('factory'), order: pkcs8('order') },
    certificates: { factory: der('factory'), server: der('server') },
  };
}

/** Every answer that anybody got, by element. */
class Notebook {
  readonly certificates = new Map<string, string>();
  readonly refusals = new Map<string, string>();

  async ask(station: TestStation, request: Uint8Array): Promise<void> {
    const answers = readEndorseAnswer(await station.send('endorse', request));
    for (const unit of answers.units) {
      const uid = toHex(unit.uid);
      if (!isEndorsed(unit)) {
        this.refusals.set(uid, unit.code);
        continue;
      }
      const certificate = toHex(unit.certificate);
      assert.equal(this.certificates.get(uid) ?? certificate, certificate, 'a second certificate');
      this.certificates.set(uid, certificate);
    }
  }
}

async function requestsFor(
  station: TestStation,
  elements: readonly TestElement[],
): Promise<readonly Uint8Array[]> {
  const requests: Uint8Array[] = [];
  for (let start = 0; start < elements.length; start += unitsPerRequest) {
    const some = elements.slice(start, start + unitsPerRequest);
    const units = await Promise.all(some.map((one) => unitRequest(one)));
    requests.push(await signed(station.signer, station.endorseRequest(units)));
  }
  return requests;
}

test(
  'two processes, one ticket, one of them killed',
  { skip: postgresMissing },
  async (context) => {
    const world = await World.create(context);
    const schema = server().newSchema();
    const shop = await openShop(world, schema);
    const setting = settingOf(world, schema);
    const [mortal, other] = await Promise.all([
      SharedAuthority.start(context, setting),
      SharedAuthority.start(context, setting),
    ]);
    const stationOf = (authority: SharedAuthority): TestStation => {
      const line = { answer: (...asked: Asking) => authority.answer(...asked) };
      return new TestStation(line, world.keys.order, shop.ticket, shop.signer);
    };
    const elements = Array.from({ length: elementsInHand }, (_, index) => testElement(`${index}`));
    const requests = await requestsFor(stationOf(other), elements);
    const notebook = new Notebook();
    let answered = 0;
    const asking = requests.flatMap((request) =>
      [mortal, other].map(async (authority) => {
        await notebook.ask(stationOf(authority), request);
        answered += 1;
        if (answered === requests.length / 2) await mortal.kill();
      }),
    );
    const lost = (await Promise.allSettled(asking)).filter((round) => round.status === 'rejected');
    assert.ok(lost.length > 0);
    assert.deepEqual(
      lost.filter(({ reason }) => !(reason instanceof Killed)),
      [],
    );
    // A new process finishes what the killed one began; whoever has no identity asks again.
    const next = await SharedAuthority.start(context, setting);
    const missing = elements.filter(({ uid }) => !notebook.certificates.has(toHex(uid)));
    for (const request of await requestsFor(stationOf(next), missing)) {
      await notebook.ask(stationOf(next), request);
    }
    const refused = elements.flatMap(({ uid }) => {
      const name = toHex(uid);
      return notebook.certificates.has(name) ? [] : [notebook.refusals.get(name)];
    });
    assert.equal(notebook.certificates.size, quota);
    assert.deepEqual(new Set(refused), new Set(['quota-exhausted']));
    for (const authority of [next, other]) authority.stop();

    const snapshot = await openPostgresSnapshot({ address: server().address, schema });
    const recorded = new Set<string>();
    for await (const { signature } of snapshot.rows('SELECT signature FROM signatures')) {
      assert.ok(signature instanceof Uint8Array);
      recorded.add(toHex(signature));
    }
    // The signature ends the certificate.
    for (const certificate of notebook.certificates.values()) {
      assert.ok([...endings(certificate)].some((ending) => recorded.has(ending)));
    }
    const report = await fsck({ snapshot, issuers: world.certificates });
    assert.deepEqual(report.faults, []);
    assert.deepEqual([report.units, report.certificates, report.unfinished], [quota, quota, 0]);
  },
);

/** DER of an ECDSA signature over P-256 has 68 to 72 bytes. */
function* endings(certificate: string): Generator<string> {
  for (let length = 60; length <= 72; length++) yield certificate.slice(-2 * length);
}

test('who signs late hands out what another process recorded meanwhile', async (context) => {
  const world = await World.create(context);
  const authority = world.open();
  const signing = Promise.withResolvers<void>();
  const goOn = Promise.withResolvers<void>();
  const { signer, ...server } = world.issuer('server');
  const late: Signer = {
    ...signer,
    sign: async (data) => {
      signing.resolve();
      await goOn.promise;
      return signer.sign(data);
    },
  };
  const slow = new Issuance({
    store: authority.issuanceStore,
    crypto: nodeCrypto,
    clock: world.clock,
    profiles: builtInProfiles,
    issuers: [{ ...server, signer: late }],
  });
  const content = { spki: testSigner().publicKeySpki, name: 'station-1' };
  const issuing = slow.issue([{ profile: 'station', content }]);
  await signing.promise;
  assert.deepEqual(await authority.issuance.recover(), { finished: 1, withheld: [] });
  goOn.resolve();
  const [issued] = await issuing;
  assert.ok(issued !== undefined && !isRefusal(issued));
  const [recorded] = await authority.issuanceStore.certificatesOf('station-1');
  assert.ok(recorded);
  assert.deepEqual(issued.certificate, certificateOf(recorded.tbs, recorded.signature));
  assert.deepEqual((await world.fsck()).faults, []);
});
