/** An authority with lists and a responder, on the real database and a clock that stands where it is put. */
import assert from 'node:assert/strict';
import { newMemorySigner } from '../../src/drivers/keys/software/memorySigner.ts';
import { nodeCrypto } from '../../src/drivers/keys/software/nodeCrypto.ts';
import { SqliteStatusStore } from '../../src/drivers/store/sqlite/statusStore.ts';
import type { Distribution } from '../../src/trust/issuance/distribution.ts';
import { identifierOfKey, type Issuer, issuerFrom } from '../../src/trust/issuance/issuer.ts';
import { isRefusal } from '../../src/trust/ports/faults.ts';
import type { StatusStore } from '../../src/trust/ports/statusStore.ts';
import { Delegates } from '../../src/trust/status/delegates.ts';
import { type ListSchedule, RevocationLists, usualSchedule } from '../../src/trust/status/lists.ts';
import { changeOf } from '../../src/trust/status/notices.ts';
import { Responder } from '../../src/trust/status/responder.ts';
import {
  type CertificateList,
  parseCertificateList,
  revokedEntries,
} from '../../src/wire/crl/certificateList.ts';
import type { RevocationReason } from '../../src/wire/crl/reason.ts';
import { encodeCertId } from '../../src/wire/ocsp/request.ts';
import { toHex } from '../../src/wire/bytes/hex.ts';
import { parseSpki } from '../../src/wire/x509/spki.ts';
import { type Between, type OpenAuthority, testSigner, World } from './issuing/world.ts';
import { testKey } from './pki.ts';

export const statusBase = 'http://status.maker.example';

export interface StatusSetting {
  readonly shards?: number;
  readonly baseUrl?: string;
  /** Of the lists; the responder reads the store itself. */
  readonly store?: (store: StatusStore) => StatusStore;
  readonly between?: Between;
  readonly schedule?: ListSchedule;
}

export interface OpenStatus {
  readonly authority: OpenAuthority;
  readonly store: SqliteStatusStore;
  readonly lists: RevocationLists;
  readonly delegates: Delegates;
  readonly responder: Responder;
}

export class StatusWorld {
  readonly world: World;
  readonly setting: StatusSetting;

  private constructor(world: World, setting: StatusSetting) {
    this.world = world;
    this.setting = setting;
  }

  static async create(
    context: { after(done: () => void): void },
    setting: StatusSetting = {},
  ): Promise<StatusWorld> {
    const world = await World.create(context);
    const { shards = 4, baseUrl = statusBase } = setting;
    for (const [index, issuer] of world.issuers.entries()) {
      if (issuer.role === 'factory') continue;
      const distribution = { authority: issuer.role, baseUrl, shards, responder: true };
      world.issuers[index] = { ...issuer, distribution };
    }
    return new StatusWorld(world, setting);
  }

  get nowMs(): number {
    return this.world.nowMs;
  }

  set nowMs(value: number) {
    this.world.nowMs = value;
  }

  issuer(role: string): Issuer {
    return this.world.issuer(role);
  }

  /** From the next opening on `operational-2` issues, a key of its own under the same name. */
  rollOver(): void {
    const { issuers } = this.world;
    const old = this.issuer('operational');
    const signer = testSigner();
    const next: Issuer = {
      ...old,
      name: 'operational-2',
      keyIdentifier: identifierOfKey(nodeCrypto, signer.publicKeySpki),
      signer,
      distribution: old.distribution && { ...old.distribution, authority: 'operational-2' },
    };
    issuers.splice(issuers.indexOf(old), 0, next);
  }

  root(distribution?: Distribution): Issuer {
    return issuerFrom('root', this.world.certificateOf('root'), this.world.keys.root, {
      distribution,
    });
  }

  /** A second call, as after a crash, first lets go of the database. */
  async open(setting: StatusSetting = this.setting): Promise<OpenStatus> {
    const authority = this.world.open(setting.between ?? {});
    const { clock, issuers } = this.world;
    const store = new SqliteStatusStore(authority.database);
    for (const { name, distribution } of issuers) {
      await store.createLists({
        authority: name,
        shards: distribution?.shards ?? 1,
        baseUrl: distribution?.baseUrl,
      });
    }
    const { issuance } = authority;
    const delegates = new Delegates({
      issuance,
      clock,
      crypto: nodeCrypto,
      newSigner: newMemorySigner,
    });
    const signing = issuers.map((issuer) => ({
      ...issuer,
      signer: setting.between?.signer?.(issuer.signer) ?? issuer.signer,
    }));
    const lists = new RevocationLists({
      store: setting.store?.(store) ?? store,
      clock,
      crypto: nodeCrypto,
      issuers: signing,
      schedule: setting.schedule ?? usualSchedule,
    });
    const responder = new Responder({ store, clock, crypto: nodeCrypto, issuers, delegates });
    return { authority, store, lists, delegates, responder };
  }

  async issue({ authority }: OpenStatus, name: string, profile = 'ldevid'): Promise<Issued> {
    const hosts = profile === 'server' ? ['localhost'] : undefined;
    const content = { spki: testKey().spki, name, ...(hosts === undefined ? {} : { hosts }) };
    const [issued] = await authority.issuance.issue([{ profile, content }]);
    assert.ok(issued !== undefined && !isRefusal(issued));
    return { serialNumber: issued.serialNumber, certificate: issued.certificate };
  }

  /** True when it changed anything. */
  async change(
    { authority }: OpenStatus,
    serialNumber: Uint8Array,
    code: RevocationReason,
  ): Promise<boolean> {
    const change = changeOf(serialNumber, { code, reason: 'test', atMs: this.nowMs });
    return (await authority.issuanceStore.revoke([change])) === 1;
  }

  /** DER of a CertID, as a client asks for it. */
  certId(role: string, serialNumber: Uint8Array, hashAlgorithm: 'SHA-1' | 'SHA-256'): Uint8Array {
    const { subject, signer } = this.issuer(role);
    return encodeCertId({
      hashAlgorithm,
      issuerNameHash: nodeCrypto.hash(hashAlgorithm, subject.der),
      issuerKeyHash: nodeCrypto.hash(hashAlgorithm, parseSpki(signer.publicKeySpki).key),
      serialNumber,
    });
  }
}

export interface Issued {
  readonly serialNumber: Uint8Array;
  readonly certificate: Uint8Array;
}

export function shardOf4(serialNumber: Uint8Array): number {
  return (serialNumber[15] ?? 0) & 3;
}

export async function published(
  { store }: OpenStatus,
  shard: number,
  authority = 'operational',
): Promise<CertificateList & { readonly number: number }> {
  const list = await store.list({ authority, shard });
  assert.ok(list);
  return { ...parseCertificateList(list.der), number: list.number };
}

/** Serial numbers and reasons, as text. */
export function entriesOf(list: CertificateList): string[] {
  return [...revokedEntries(list)]
    .map(({ serialNumber, reason }) => `${toHex(serialNumber).padStart(32, '0')} ${reason ?? ''}`)
    .sort((left, right) => (left < right ? -1 : 1));
}
