/** The part of an authority that session servers meet, on a database of its own. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { nodeCrypto } from '../../src/drivers/keys/software/nodeCrypto.ts';
import { decompressPoint } from '../../src/drivers/keys/software/points.ts';
import { SoftwareVerifier } from '../../src/drivers/keys/software/verifier.ts';
import { SqliteDatabase } from '../../src/drivers/store/sqlite/database.ts';
import { Issuance } from '../../src/trust/issuance/issuance.ts';
import { type Issuer, issuerFrom } from '../../src/trust/issuance/issuer.ts';
import { builtInProfiles } from '../../src/trust/issuance/profiles.ts';
import { GenerationCounter } from '../../src/trust/issuance/serverGenerations.ts';
import { SessionServers } from '../../src/trust/issuance/sessionServers.ts';
import { isRefusal } from '../../src/trust/ports/faults.ts';
import type { KeyAgreement, Signer } from '../../src/trust/ports/keys.ts';
import type { SessionServerCredential } from '../../src/trust/ports/sessionServerAuthority.ts';
import type { ServerChains } from '../../src/trust/sessions/ownCredentials.ts';
import { requestCredential } from '../../src/trust/sessions/credentialRequest.ts';
import { parseEitherCertificate } from '../../src/wire/c509/either.ts';
import { issuingBackends, type IssuingStores } from './issuingStores.ts';
import { type TestKey, testKey, testNowMs, type TestPki } from './pki.ts';

export function signerOf(key: TestKey): Signer {
  return {
    algorithm: 'ecdsa-with-SHA256',
    publicKeySpki: key.spki,
    sign: (data) => Promise.resolve(key.sign(data)),
  };
}

export function testAgreement(): KeyAgreement {
  const key = nodeCrypto.generateKeyPair('P-256');
  return {
    curve: 'P-256',
    publicKey: nodeCrypto.publicPoint(key),
    agree: (peer) => {
      const imported = nodeCrypto.importPublicKey('P-256', peer);
      return Promise.resolve(imported && nodeCrypto.agree(key, imported));
    },
  };
}

export class SessionServerHouse {
  readonly stores: IssuingStores;
  readonly servers: SessionServers;
  readonly issuer: Issuer;
  nowMs: number = testNowMs;

  constructor(context: TestContext, pki: TestPki) {
    const folder = mkdtempSync(join(tmpdir(), 'birthmark-'));
    const { migrations, stores } = issuingBackends.sqlite;
    const database = new SqliteDatabase({ path: join(folder, 'issuing.sqlite'), migrations });
    context.after(() => {
      database.close();
      rmSync(folder, { recursive: true });
    });
    this.stores = stores(database);
    const clock = { nowMs: () => this.nowMs };
    const { certificate, key } = pki.server;
    this.issuer = issuerFrom('server', certificate.der, signerOf(key));
    const decompress = decompressPoint;
    const crypto = nodeCrypto;
    const issuance = new Issuance({
      store: this.stores.issuance,
      crypto,
      clock,
      profiles: builtInProfiles,
      issuers: [this.issuer],
      decompress,
    });
    const verifier = new SoftwareVerifier();
    this.servers = new SessionServers({
      crypto,
      clock,
      decompress,
      issuance,
      certificates: this.stores.issuance,
      generations: new GenerationCounter(this.stores.orders, clock),
      verifier: { verifyInPool: (...proof) => Promise.resolve(verifier.verify(...proof)) },
      issuerName: this.issuer.subject,
      statusSigner: signerOf(testKey()),
    });
  }

  async credential(
    key: KeyAgreement | Signer,
    { name = 'Owner', form = 'native' }: { name?: string; form?: 'native' | 'der' } = {},
  ): Promise<SessionServerCredential> {
    const { issuer } = this;
    const request = { crypto: nodeCrypto, authority: this.servers, name, form };
    const issued = await requestCredential({ ...request, issuerName: issuer.subject }, key);
    assert.ok(!isRefusal(issued), isRefusal(issued) ? issued.reason : '');
    return issued;
  }

  /** What a server shows, with keys of its own, made anew with every `renew`. */
  async chains(): Promise<ServerChains & { readonly renew: () => Promise<void> }> {
    const made = async () => {
      const key = testAgreement();
      const signer = signerOf(testKey());
      const agreeing = { certificate: (await this.credential(key)).certificate, key };
      const signing = { certificate: (await this.credential(signer)).certificate, key: signer };
      const form = 'der';
      return {
        agreeing: { ...agreeing, x509: (await this.credential(key, { form })).certificate },
        signing: { ...signing, x509: (await this.credential(signer, { form })).certificate },
      };
    };
    let present = await made();
    return {
      agreeing: () => present.agreeing,
      signing: () => present.signing,
      vouch: (certificate, hash) => this.servers.vouch(certificate, hash),
      renew: async () => {
        present = await made();
      },
    };
  }

  async revoke(certificate: Uint8Array): Promise<void> {
    const { serialNumber } = parseEitherCertificate(certificate, decompressPoint).certificate;
    const magnitude = new Uint8Array(16);
    const digits = serialNumber[0] === 0 ? serialNumber.subarray(1) : serialNumber;
    magnitude.set(digits, 16 - digits.length);
    const revocation = {
      serialNumber: magnitude,
      code: 'keyCompromise',
      reason: 'stolen',
      atMs: this.nowMs,
      entry: Uint8Array.of(0),
    } as const;
    assert.equal(await this.stores.issuance.revoke([revocation]), 1);
  }
}
