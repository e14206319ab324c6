/** What an operator says that devices may run. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  attestationPolicy,
  parseProductStates,
  readProductStates,
} from '../../../src/apps/provisioner/attestation.ts';
import { elementAttester } from '../../../src/device/identity/elementAttester.ts';
import { nodeCrypto } from '../../../src/drivers/keys/software/nodeCrypto.ts';
import { EnvironmentError } from '../../../src/trust/ports/faults.ts';
import { Registry } from '../../../src/trust/registry/registry.ts';
import { toHex } from '../../../src/wire/bytes/hex.ts';
import * as cbor from '../../../src/wire/cbor/writer.ts';
import { exampleEvidenceFormat } from '../../../src/wire/edhoc/attestation.ts';
import { p256Spki } from '../../../src/wire/x509/spki.ts';
import { memoryElement } from '../../support/memoryElement.ts';
import { MemoryRegistryStore } from '../../support/memoryRegistryStore.ts';
import { importedDevice } from '../../support/registrySamples.ts';

const good = cbor.text('v1.2');

test('a file of products, and files that are none', async () => {
  const products = parseProductStates(
    JSON.stringify({
      products: { a: { demanded: true, measurements: [toHex(good)] }, b: { measurements: ['00'] } },
    }),
  );
  assert.deepEqual(products.get('a'), { demanded: true, measurements: new Set([toHex(good)]) });
  assert.equal(products.get('b')?.demanded, false);
  for (const text of [
    '',
    '[]',
    '{}',
    '{"products":[]}',
    '{"products":{"a":1}}',
    '{"products":{"a":{}}}',
    '{"products":{"a":{"measurements":[]}}}',
    '{"products":{"a":{"measurements":["0"]}}}',
    '{"products":{"a":{"measurements":["AA"]}}}',
    '{"products":{"a":{"measurements":["aa",1]}}}',
    '{"products":{"a":{"measurements":["aa"],"demanded":"yes"}}}',
    '{"products":{"a":{"measurements":["aa"],"demand":true}}}',
  ]) {
    assert.throws(() => parseProductStates(text), EnvironmentError, text);
  }
  await assert.rejects(readProductStates('/nowhere/at/all.json'), EnvironmentError);
});

test('a device is asked by its product', async () => {
  const store = new MemoryRegistryStore();
  const element = memoryElement();
  const device = importedDevice(1, { signKeySpki: p256Spki(element.keys.sign.publicKey) });
  await store.importDevices([device], 1);
  const { deviceId, product } = device.identity;
  const registry = new Registry(store, { nowMs: () => 1 });
  const state = { demanded: true, measurements: new Set([toHex(good)]) };
  const { verifier, demandOf } = attestationPolicy(registry, new Map([[product, state]]));
  const demand = await demandOf(deviceId);
  assert.ok(demand !== undefined);
  assert.equal(await demandOf('nobody'), undefined);
  // The name of the demand changes with what is good, and with nothing else.
  const demandFor = (...measurements: readonly string[]): Promise<string | undefined> => {
    const changed = new Map([[product, { demanded: true, measurements: new Set(measurements) }]]);
    return attestationPolicy(registry, changed).demandOf(deviceId);
  };
  assert.equal(await demandFor(toHex(good)), demand);
  assert.notEqual(await demandFor('01'), demand);
  assert.equal(await demandFor('01', '02'), await demandFor('02', '01'));
  const nonce = await verifier.nonce();
  const binder = nodeCrypto.random(32);
  const judged = async (content: Uint8Array, holder = deviceId): Promise<string | undefined> => {
    const attester = elementAttester({
      element,
      crypto: nodeCrypto,
      contentFormats: verifier.contentFormats,
      measure: async () => [{ contentFormat: 60, content }],
    });
    const request = { contentFormat: exampleEvidenceFormat, nonce };
    const evidence = await attester.evidence(request, binder);
    const refusal = await verifier.appraise({ deviceId: holder, evidence, binder, nonce });
    return refusal?.refused;
  };
  assert.equal(await judged(good), undefined);
  assert.equal(await judged(cbor.text('v1.1')), 'not-acceptable');
  assert.equal(await judged(good, 'nobody'), 'not-authentic');
  const others = attestationPolicy(registry, new Map());
  assert.equal(await others.demandOf(deviceId), undefined);
  const wanted = new Map([[product, { ...state, demanded: false }]]);
  assert.equal(await attestationPolicy(registry, wanted).demandOf(deviceId), undefined);
});
