/** A whole authority in a data folder, and what its people do with it: orders, births, revocations. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { type AuthorityConfig, startAuthority } from '../../src/apps/authority/authority.ts';
import { authorityPaths, readCertificateFile } from '../../src/apps/authority/authorityFolder.ts';
import { readBook } from '../../src/apps/authority/book.ts';
import { initializeAuthority } from '../../src/apps/authority/initialize.ts';
import type { StatusPlan } from '../../src/apps/authority/statusPlan.ts';
import { openAuthoritySnapshot } from '../../src/apps/authority/stores.ts';
import { fsck, type FsckReport } from '../../src/apps/fsck/fsck.ts';
import { socketPathFor } from '../../src/apps/socketPath.ts';
import type { StoreSetting } from '../../src/apps/storeSetting.ts';
import { AuthorityClient } from '../../src/drivers/links/local/authorityClient.ts';
import { isRefusal } from '../../src/trust/ports/faults.ts';
import { type EndorsedUnit, isEndorsed } from '../../src/wire/line/endorsement.ts';
import { type TestElement, testElement, TestStation, unitRequest } from './issuing/station.ts';
import { testSigner, type TestSigner } from './issuing/world.ts';

export const passphrase = 'for tests only';
const hourMs = 3_600_000;
const unitsPerRequest = 50;

export interface InstallationOptions {
  readonly store?: StoreSetting | undefined;
  readonly status?: StatusPlan;
  /** Default: the system's. */
  readonly clock?: { readonly nowMs: () => number };
}

export class Installation {
  readonly folder: string;
  readonly signer: TestSigner;
  readonly clock: { readonly nowMs: () => number };
  store: StoreSetting | undefined;

  private constructor(
    folder: string,
    { store, clock }: InstallationOptions,
    signer: TestSigner = testSigner(),
  ) {
    this.folder = folder;
    this.signer = signer;
    this.store = store;
    this.clock = clock ?? { nowMs: Date.now };
  }

  /** Its folder is gone when the test is over. */
  static async create(
    context: Pick<TestContext, 'after'>,
    options: InstallationOptions = {},
  ): Promise<Installation> {
    const folder = mkdtempSync(join(tmpdir(), 'birthmark-house-'));
    context.after(() => rmSync(folder, { recursive: true, force: true }));
    const installation = new Installation(folder, options);
    const { clock } = installation;
    await initializeAuthority({
      dataFolder: folder,
      passphrase,
      organization: 'Maker',
      clock,
      costLog2: 4,
      ...options,
    });
    return installation;
  }

  /** One that is there. */
  static open(
    folder: string,
    signer: TestSigner,
    clock: InstallationOptions['clock'],
  ): Installation {
    return new Installation(folder, clock === undefined ? {} : { clock }, signer);
  }

  /** The same people with another folder. */
  at(folder: string): Installation {
    return new Installation(folder, { clock: this.clock }, this.signer);
  }

  /** Starts, works, stops. */
  async serve<Result>(
    work: (house: House) => Promise<Result>,
    config: Partial<AuthorityConfig> = {},
  ): Promise<Result> {
    const { clock, folder: dataFolder, store } = this;
    const running = await startAuthority({
      dataFolder,
      passphrase,
      store,
      clock,
      publishEveryMs: 20,
      ...config,
    });
    const client = new AuthorityClient(socketPathFor(dataFolder, 'authority'));
    try {
      return await work(new House(this, client));
    } finally {
      client.close();
      await running.close();
    }
  }

  async fsck(): Promise<FsckReport> {
    const paths = authorityPaths(this.folder);
    const issuers = new Map<string, Uint8Array>();
    for (const { name } of await readBook(paths)) {
      issuers.set(name, await readCertificateFile(paths, name));
    }
    return fsck({ snapshot: await openAuthoritySnapshot(paths, this.store), issuers });
  }
}

/** A running authority in the hands of its people. */
export class House {
  readonly client: AuthorityClient;
  readonly #installation: Installation;

  constructor(installation: Installation, client: AuthorityClient) {
    this.#installation = installation;
    this.client = client;
  }

  /** An order with one batch of its name, and one ticket for all of it; gives the signed ticket. */
  async ticket(order: string, count: number): Promise<Uint8Array> {
    const { client } = this;
    const { clock, signer } = this.#installation;
    await client.publishServerIdentity(Uint8Array.of(0xa1, 1, 2));
    const made = await client.createOrder({
      order,
      product: 'sensor',
      family: 'software',
      hwType: '1.3.6.1.4.1.32473.1',
      partNumber: 'S-1',
      quantity: count,
      leastProof: 'line-anchored',
    });
    assert.ok(!isRefusal(made), JSON.stringify(made));
    const ticket = await client.issueTicket({
      batch: order,
      count,
      stationKeySpki: signer.publicKeySpki,
      notBeforeMs: clock.nowMs() - hourMs,
      notAfterMs: clock.nowMs() + hourMs,
    });
    assert.ok(!isRefusal(ticket), JSON.stringify(ticket));
    return ticket.signed;
  }

  async station(ticket: Uint8Array): Promise<TestStation> {
    const { orderKeySpki } = await this.client.hierarchy();
    const line = {
      answer: (...asked: Parameters<AuthorityClient['post']>) => this.client.post(...asked),
    };
    return new TestStation(
      line,
      { publicKeySpki: orderKeySpki },
      ticket,
      this.#installation.signer,
    );
  }

  /** Identities for so many new elements, under one ticket. */
  async births(ticket: Uint8Array, names: readonly string[]): Promise<readonly EndorsedUnit[]> {
    return this.endorse(ticket, names.map(testElement));
  }

  async endorse(
    ticket: Uint8Array,
    elements: readonly TestElement[],
  ): Promise<readonly EndorsedUnit[]> {
    const station = await this.station(ticket);
    const born: EndorsedUnit[] = [];
    for (let start = 0; start < elements.length; start += unitsPerRequest) {
      const some = elements.slice(start, start + unitsPerRequest);
      for (const unit of await station.endorse(
        await Promise.all(some.map((one) => unitRequest(one))),
      )) {
        assert.ok(isEndorsed(unit), JSON.stringify(unit));
        born.push(unit);
      }
    }
    return born;
  }

  async revoke(deviceIds: readonly string[]): Promise<void> {
    await this.client.recordRevocations(
      deviceIds.map((subject, index) => ({
        sequence: index + 1,
        act: 'revoke-device' as const,
        subject,
        reason: 'lost',
        atMs: this.#installation.clock.nowMs(),
        code: 'keyCompromise' as const,
        holder: undefined,
      })),
    );
  }
}
