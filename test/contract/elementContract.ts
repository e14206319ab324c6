/** What every driver of an element has to do, whatever is behind it. */
import assert from 'node:assert/strict';
import { createPublicKey, diffieHellman, generateKeyPairSync, verify } from 'node:crypto';
import { test } from 'node:test';
import { inspect } from 'node:util';
import { nodeCrypto } from '../../src/drivers/keys/software/nodeCrypto.ts';
import { elementErrorCode } from '../../src/device/ports/element.ts';
import type { DeviceElement } from '../../src/device/ports/element.ts';
import {
  type Element,
  ElementError,
  type ElementErrorCode,
  keySlots,
} from '../../src/trust/ports/element.ts';
import { equal } from '../../src/wire/bytes/bytes.ts';
import { utf8 } from '../../src/wire/bytes/utf8.ts';

export interface ElementUnderTest {
  readonly element: Element & DeviceElement;
  /** Power off and on: the same element through a new connection. */
  powerCycle(): Promise<Element & DeviceElement>;
}

export function elementContract(
  family: string,
  insertBlank: () => Promise<ElementUnderTest>,
): void {
  const contract = (name: string, body: (inserted: ElementUnderTest) => Promise<void>): void => {
    test(`${family}: ${name}`, async () => body(await insertBlank()));
  };

  contract('a blank element holds nothing', async ({ element }) => {
    assert.equal(element.identity.family, family);
    assert.ok(element.identity.uid.length >= 1 && element.identity.uid.length <= 64);
    assert.ok(element.identity.model.length > 0 && element.identity.firmware.length > 0);
    assert.equal(await element.lifecycle(), 'blank');
    for (const slot of keySlots) assert.equal(await element.publicKey(slot), undefined);
    assert.equal(await element.readCertificate('idevid'), undefined);
    assert.equal(await element.readData('anchors'), undefined);
    await rejects(element.sign('sign', utf8('x')), 'empty');
    await rejects(element.agree('agree', peer().point), 'empty');
    await rejects(element.lock(), 'empty');
    assert.equal(await element.lifecycle(), 'blank');
  });

  contract('random bytes differ and have the length asked for', async ({ element }) => {
    const samples = await Promise.all([32, 32, 1, 0].map((length) => element.random(length)));
    assert.deepEqual(
      samples.map(({ length }) => length),
      [32, 32, 1, 0],
    );
    assert.notDeepEqual(samples[0], samples[1]);
  });

  contract('a key signs, survives power, and is replaced by the next', async (inserted) => {
    const first = await inserted.element.generateKey('sign');
    assert.equal(await inserted.element.lifecycle(), 'personalized');
    const again = await inserted.powerCycle();
    assert.deepEqual(await again.publicKey('sign'), first);
    const data = utf8('to be signed');
    const signature = await again.sign('sign', data);
    assert.ok(verify('sha256', data, keyOf(first), signature));
    assert.ok(!verify('sha256', utf8('something else'), keyOf(first), signature));
    const second = await again.generateKey('sign');
    assert.notDeepEqual(second, first);
    assert.ok(verify('sha256', data, keyOf(second), await again.sign('sign', data)));
  });

  contract('agreement takes every form of a point and refuses what is none', async (inserted) => {
    const { element } = inserted;
    const own = await element.generateKey('agree');
    const { point, privateKey } = peer();
    const expected = prf(diffieHellman({ privateKey, publicKey: keyOf(own) }));
    const compressed = Uint8Array.of(2 + ((point[64] ?? 0) & 1), ...point.subarray(1, 33));
    for (const form of [point, compressed, point.subarray(1, 33)]) {
      const secret = await element.agree('agree', form);
      assert.ok(secret !== undefined);
      assert.deepEqual(nodeCrypto.hmac('SHA-256', secret, utf8('check')), expected);
      assert.equal(JSON.stringify({ secret }), '{"secret":"[secret]"}');
    }
    const offCurve = point.slice();
    offCurve[64] = (offCurve[64] ?? 0) ^ 1;
    for (const wrong of [offCurve, point.subarray(1), new Uint8Array(0), new Uint8Array(32)]) {
      // x = 0 is on the curve: it is the one input here that is a point.
      const expectedNone = wrong.length !== 32;
      assert.equal((await element.agree('agree', wrong)) === undefined, expectedNone);
    }
  });

  contract('what was written is read back, after power too', async (inserted) => {
    const chain = [Uint8Array.of(0x30, 1, 2), Uint8Array.of(0x30, 3)];
    await inserted.element.write({
      certificates: { idevid: chain },
      data: { anchors: utf8('anchors'), eui64: new Uint8Array(8), 'device-id': utf8('d') },
    });
    await inserted.element.write({ data: { 'device-id': utf8('e') } });
    const again = await inserted.powerCycle();
    assert.deepEqual(await again.readCertificate('idevid'), chain);
    assert.deepEqual(await again.readData('anchors'), utf8('anchors'));
    assert.deepEqual(await again.readData('eui64'), new Uint8Array(8));
    assert.deepEqual(await again.readData('device-id'), utf8('e'));
    assert.equal(await again.readData('server-identity'), undefined);
    assert.equal(await again.lifecycle(), 'personalized');
  });

  contract('values handed over or read are copies', async ({ element }) => {
    const value = utf8('value');
    await element.write({ data: { anchors: value }, certificates: { ldevid: [value] } });
    value.fill(0);
    const read = await element.readData('anchors');
    assert.deepEqual(read, utf8('value'));
    read?.fill(0);
    (await element.readCertificate('ldevid'))?.[0]?.fill(0);
    assert.deepEqual(await element.readData('anchors'), utf8('value'));
    assert.deepEqual(await element.readCertificate('ldevid'), [utf8('value')]);
  });

  contract('a value too large is refused and nothing of the write is kept', async ({ element }) => {
    await element.write({ data: { state: utf8('before') } });
    const huge = new Uint8Array(1 << 20);
    await rejects(element.write({ data: { 'device-id': utf8('d'), state: huge } }), 'too-large');
    await rejects(element.write({ certificates: { idevid: [huge] } }), 'too-large');
    assert.deepEqual(await element.readData('state'), utf8('before'));
    assert.equal(await element.readData('device-id'), undefined);
  });

  contract('the lock freezes keys and birth slots, for ever', async (inserted) => {
    const before = await inserted.element.generateKey('sign');
    await inserted.element.generateKey('agree');
    await inserted.element.write({ data: { anchors: utf8('a') } });
    await inserted.element.lock();
    for (const element of [inserted.element, await inserted.powerCycle()]) {
      assert.equal(await element.lifecycle(), 'locked');
      await element.lock();
      await rejects(element.generateKey('sign'), 'locked');
      await rejects(element.generateKey('agree'), 'locked');
      for (const slot of ['anchors', 'server-identity', 'eui64', 'device-id'] as const) {
        await rejects(element.write({ data: { [slot]: utf8('b') } }), 'locked');
      }
      const foreign = { certificates: { idevid: [utf8('c')] } };
      await rejects(element.write(foreign), 'locked');
      assert.deepEqual(await element.publicKey('sign'), before);
      assert.deepEqual(await element.readData('anchors'), utf8('a'));
    }
  });

  contract('a locked element still serves its device', async (inserted) => {
    const signKey = await inserted.element.generateKey('sign');
    await inserted.element.generateKey('agree');
    await inserted.element.lock();
    const device = await inserted.powerCycle();
    await device.write({
      certificates: { ldevid: [utf8('old')], 'ldevid-next': [utf8('new')] },
      data: { state: utf8('1') },
    });
    await device.write({ certificates: { ldevid: [utf8('new')], 'ldevid-next': [] } });
    const again = await inserted.powerCycle();
    assert.deepEqual(await again.readCertificate('ldevid'), [utf8('new')]);
    assert.equal(await again.readCertificate('ldevid-next'), undefined);
    assert.deepEqual(await again.readData('state'), utf8('1'));
    assert.ok(verify('sha256', utf8('x'), keyOf(signKey), await again.sign('sign', utf8('x'))));
    assert.ok((await again.agree('agree', peer().point)) !== undefined);
  });

  contract('inspection shows no key', async ({ element }) => {
    await element.generateKey('sign');
    const shown = JSON.stringify(element) + inspect(element, { depth: 9, showHidden: true });
    assert.ok(!/private|secret|d: '/i.test(shown), shown);
  });
}

export async function rejects(outcome: Promise<unknown>, code: ElementErrorCode): Promise<void> {
  await assert.rejects(outcome, (error) => {
    assert.ok(error instanceof ElementError, String(error));
    assert.equal(error.code, code);
    assert.equal(elementErrorCode(error), code);
    return true;
  });
}

const spkiPrefix = Buffer.from('3059301306072a8648ce3d020106082a8648ce3d030107034200', 'hex');

export function keyOf(point: Uint8Array): ReturnType<typeof createPublicKey> {
  const key = Buffer.concat([spkiPrefix, point]);
  return createPublicKey({ key, format: 'der', type: 'spki' });
}

function peer(): { point: Uint8Array; privateKey: ReturnType<typeof createPublicKey> } {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  const spki = publicKey.export({ format: 'der', type: 'spki' });
  const point = Uint8Array.from(spki.subarray(spkiPrefix.length));
  assert.ok(equal(spki.subarray(0, spkiPrefix.length), spkiPrefix));
  return { point, privateKey };
}

function prf(x: Uint8Array): Uint8Array {
  return nodeCrypto.hmac('SHA-256', nodeCrypto.secret(x), utf8('check'));
}
