/** The real manifest and one of ours become devices; importing again changes nothing. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nodeCrypto } from '../../../src/drivers/keys/software/nodeCrypto.ts';
import { SoftwareVerifier } from '../../../src/drivers/keys/software/verifier.ts';
import { isRefusal } from '../../../src/trust/ports/faults.ts';
import { importElements } from '../../../src/trust/registry/elementImport.ts';
import {
  type ManifestTrust,
  ManifestVerifier,
  type VerifiedManifest,
} from '../../../src/trust/registry/manifestImport.ts';
import { Registry } from '../../../src/trust/registry/registry.ts';
import { makeMaker } from '../../support/manifestMaker.ts';
import { MemoryRegistryStore } from '../../support/memoryRegistryStore.ts';

const terms = { owner: 'owner', product: undefined, state: 'released' } as const;

function verified(trust: ManifestTrust, bytes: Uint8Array): VerifiedManifest {
  const verifier = new ManifestVerifier(trust, {
    crypto: nodeCrypto,
    verifier: new SoftwareVerifier(),
  });
  assert.equal(verifier.push(bytes), undefined);
  const outcome = verifier.finish();
  assert.ok(!isRefusal(outcome));
  return outcome;
}

function setUp() {
  const store = new MemoryRegistryStore();
  return { store, registry: new Registry(store, { nowMs: () => 1000 }) };
}

test('our own manifest: every attribute arrives, and again changes nothing', async () => {
  const { registry } = setUp();
  const maker = makeMaker();
  const manifest = verified(maker.trust, maker.manifest([{}, {}, {}]));
  const first = await importElements(registry, nodeCrypto, manifest, terms);
  assert.deepEqual(first, { imported: 3, unchanged: 0 });
  const again = await importElements(registry, nodeCrypto, manifest, terms);
  assert.deepEqual(again, { imported: 0, unchanged: 3 });
  const [element] = manifest.elements;
  assert.ok(element?.birth !== undefined);
  const device = await registry.device(element.birth.deviceId);
  assert.deepEqual(device?.signKeySpki, element.signKeySpki);
  assert.deepEqual(device?.agreeKey, element.agreeKey);
  assert.equal(device?.kid?.length, device?.agreeKey === undefined ? undefined : 1);
  const certificate = await registry.certificate(element.certificateSha256);
  assert.equal(certificate?.holder, element.birth.deviceId);
});

test('an element of somebody else is given a deviceId once', async () => {
  const { registry } = setUp();
  const maker = makeMaker();
  const own = verified(maker.trust, maker.manifest([{}]));
  const foreign = Object.defineProperty(own, 'elements', {
    value: own.elements.map((element) => ({ ...element, birth: undefined })),
  });
  assert.ok(!isRefusal(await importElements(registry, nodeCrypto, foreign, terms)));
  const again = await importElements(registry, nodeCrypto, foreign, terms);
  assert.deepEqual(again, { imported: 0, unchanged: 1 });
  const [device] = await registry.devices({ limit: 9 });
  assert.equal(device?.product, own.elements[0]?.partNumber);
  assert.equal(device?.eui64, undefined);
});

test('an empty manifest is refused', async () => {
  const { registry } = setUp();
  const maker = makeMaker();
  const manifest = verified(maker.trust, maker.manifest([]));
  const outcome = await importElements(registry, nodeCrypto, manifest, terms);
  assert.ok(isRefusal(outcome) && outcome.refused === 'malformed');
});
