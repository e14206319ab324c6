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
const loader = cbor.text('b1');

test('a file of products, and files that are none', async () => {
  const products = parseProductStates(
    JSON.stringify({
      products: {
        a: { demanded: true, measurements: { firmware: [toHex(good)] } },
        b: { measurements: { firmware: ['00', '01'] } },
      },
    }),
  );
  const measurements = new Map([[toHex(good), 'firmware']]);
  assert.deepEqual(products.get('a'), { demanded: true, measurements });
  assert.equal(products.get('b')?.demanded, false);
  for (const text of [
    '',
    '[]',
    '{}',
    '{"products":[]}',
    '{"products":{"a":1}}',
    '{"products":{"a":{}}}',
    '{"products":{"a":{"measurements":["aa"]}}}',
    '{"products":{"a":{"measurements":{}}}}',
    '{"products":{"a":{"measurements":{"x":[]}}}}',
    '{"products":{"a":{"measurements":{"x":"aa"}}}}',
    '{"products":{"a":{"measurements":{"x":["0"]}}}}',
    '{"products":{"a":{"measurements":{"x":["AA"]}}}}',
    '{"products":{"a":{"measurements":{"x":["aa",1]}}}}',
    '{"products":{"a":{"measurements":{"x":["aa"],"y":["aa"]}}}}',
    '{"products":{"a":{"measurements":{"x":["aa"]},"demanded":"yes"}}}',
    '{"products":{"a":{"measurements":{"x":["aa"]},"demand":true}}}',
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
  const measurements = new Map([
    [toHex(good), 'firmware'],
    [toHex(cbor.text('v1.3')), 'firmware'],
    [toHex(loader), 'loader'],
  ]);
  const state = { demanded: true, measurements };
  const { verifier, demandOf } = attestationPolicy(registry, new Map([[product, state]]));
  const demand = await demandOf(deviceId);
  assert.ok(demand !== undefined);
  assert.equal(await demandOf('nobody'), undefined);
  // The name of the demand changes with what is good, and with nothing else.
  const demandFor = (...pairs: ReadonlyArray<[string, string]>): Promise<string | undefined> => {
    const changed = new Map([[product, { demanded: true, measurements: new Map(pairs) }]]);
    return attestationPolicy(registry, changed).demandOf(deviceId);
  };
  assert.equal(await demandFor(...[...measurements].reverse()), demand);
  assert.notEqual(await demandFor(...[...measurements].slice(1)), demand);
  assert.notEqual(await demandFor(['01', 'x']), await demandFor(['01', 'y']));
  const nonce = await verifier.nonce();
  const binder = nodeCrypto.random(32);
  const judged = async (
    contents: readonly Uint8Array[],
    holder = deviceId,
  ): Promise<string | undefined> => {
    const attester = elementAttester({
      element,
      crypto: nodeCrypto,
      contentFormats: verifier.contentFormats,
      measure: async () => contents.map((content) => ({ contentFormat: 60, content })),
    });
    const request = { contentFormat: exampleEvidenceFormat, nonce };
    const evidence = await attester.evidence(request, binder);
    const refusal = await verifier.appraise({ deviceId: holder, evidence, binder, nonce });
    return refusal?.refused;
  };
  assert.equal(await judged([good, loader]), undefined);
  assert.equal(await judged([loader, cbor.text('v1.3')]), undefined);
  for (const contents of [
    [cbor.text('v1.1'), loader],
    // Of everything that is listed, and of nothing else; of nothing twice.
    [good],
    [loader],
    [good, good],
    [good, cbor.text('v1.3')],
    [good, loader, cbor.text('more')],
    [good, loader, loader],
  ]) {
    assert.equal(await judged(contents), 'not-acceptable');
  }
  assert.equal(await judged([good, loader], 'nobody'), 'not-authentic');
  const others = attestationPolicy(registry, new Map());
  assert.equal(await others.demandOf(deviceId), undefined);
  const wanted = new Map([[product, { ...state, demanded: false }]]);
  assert.equal(await attestationPolicy(registry, wanted).demandOf(deviceId), undefined);
});
