/** Two keys of one authority: each speaks for what it has issued, in lists and in answers, as long as both live. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SoftwareVerifier } from '../../../../src/drivers/keys/software/verifier.ts';
import { listUri } from '../../../../src/trust/issuance/distribution.ts';
import * as der from '../../../../src/wire/der/writer.ts';
import { encodeOcspRequest } from '../../../../src/wire/ocsp/request.ts';
import { parseOcspResponse } from '../../../../src/wire/ocsp/response.ts';
import { parseCertificate } from '../../../../src/wire/x509/certificate.ts';
import { deviceIdOf } from '../../../support/registrySamples.ts';
import {
  entriesOf,
  type OpenStatus,
  published,
  shardOf4,
  StatusWorld,
} from '../../../support/status.ts';

const dayMs = 86_400_000;
const verifier = new SoftwareVerifier();
const generations = ['operational', 'operational-2'] as const;

interface Generation {
  readonly name: string;
  readonly serialNumber: Uint8Array;
}

async function rolledOver(context: { after(done: () => void): void }): Promise<{
  readonly world: StatusWorld;
  readonly open: OpenStatus;
  readonly all: readonly Generation[];
}> {
  const world = await StatusWorld.create(context);
  const before = await world.issue(await world.open(), deviceIdOf(1));
  world.rollOver();
  const open = await world.open();
  const after = await world.issue(open, deviceIdOf(2));
  const serials = [before, after].map(({ serialNumber }) => serialNumber);
  const all = generations.map((name, index) => ({
    name,
    serialNumber: serials[index] ?? new Uint8Array(0),
  }));
  return { world, open, all };
}

/** The status, and the key of the delegate, which the generation's own key has certified. */
async function asked(
  world: StatusWorld,
  { responder }: OpenStatus,
  at: string,
  { name, serialNumber }: Generation,
): Promise<{ readonly status: string; readonly key: string }> {
  const certId = world.certId(name, serialNumber, 'SHA-256');
  const answer = await responder.answer(at, encodeOcspRequest(certId));
  if (typeof answer === 'string') return { status: answer, key: '' };
  const response = parseOcspResponse(answer.der);
  assert.ok(typeof response === 'object');
  const [delegate] = response.certificates.map(parseCertificate);
  assert.ok(delegate);
  const { oid } = delegate.signatureAlgorithm;
  const { publicKeySpki } = world.issuer(name).signer;
  assert.ok(verifier.verify(publicKeySpki, oid, delegate.tbs, delegate.signature));
  const { spki } = delegate.publicKey;
  const { signatureAlgorithm, responseData, signature } = response;
  assert.ok(verifier.verify(spki, signatureAlgorithm, responseData, signature));
  return {
    status: response.responses[0]?.status.kind ?? '',
    key: Buffer.from(delegate.publicKey.key).toString('hex'),
  };
}

test('the key in the question chooses who answers, at either address', async (context) => {
  const { world, open, all } = await rolledOver(context);
  for (const one of all) {
    for (const at of generations) {
      assert.equal((await asked(world, open, at, one)).status, 'good');
    }
    assert.equal((await asked(world, open, 'server', one)).status, 'unauthorized');
    // The other key has issued no such serial number.
    const name = generations.find((other) => other !== one.name) ?? '';
    assert.equal((await asked(world, open, name, { ...one, name })).status, 'unauthorized');
  }
  // Nobody can sign for both.
  const both = all.map(({ name, serialNumber }) =>
    der.sequence(world.certId(name, serialNumber, 'SHA-256')),
  );
  const request = der.sequence(der.sequence(der.sequence(...both)));
  assert.equal(await open.responder.answer('operational-2', request), 'unauthorized');
});

test('each is listed by its own key, at the address that its certificates name', async (context) => {
  const { world, open, all } = await rolledOver(context);
  await open.lists.advance();
  for (const { serialNumber } of all) {
    assert.ok(await world.change(open, serialNumber, 'keyCompromise'));
  }
  // One list each, and no other.
  assert.equal(await open.lists.advance(), 2);
  for (const { name, serialNumber } of all) {
    const shard = shardOf4(serialNumber);
    const list = await published(open, shard, name);
    const { distribution, signer, keyIdentifier } = world.issuer(name);
    assert.ok(distribution);
    assert.equal(list.issuingDistributionPoint?.uri, listUri(distribution, shard));
    assert.deepEqual(list.authorityKeyIdentifier, keyIdentifier);
    const { signatureAlgorithm, tbsCertList, signature } = list;
    assert.ok(verifier.verify(signer.publicKeySpki, signatureAlgorithm, tbsCertList, signature));
    assert.equal(entriesOf(list).length, 1);
  }
});

test('delegates of both renew themselves', async (context) => {
  const { world, open, all } = await rolledOver(context);
  const keys = async (): Promise<readonly string[]> =>
    Promise.all(all.map(async (one) => (await asked(world, open, one.name, one)).key));
  const first = await keys();
  assert.equal(new Set(first).size, 2);
  assert.deepEqual(await keys(), first);
  world.nowMs += 5 * dayMs;
  await open.delegates.renew();
  const second = await keys();
  assert.equal(new Set([...first, ...second]).size, 4);
});
