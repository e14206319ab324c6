/**
 * EDHOC, the combined request and OSCORE over CoAP with another implementation of all of it: aiocoap, whose
 * EDHOC is lakers (in Rust). It is the client of our door, and the server of our device.
 */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { CoapSession } from '../../src/device/sessions/coapSession.ts';
import { openSealedStore } from '../../src/device/storage/sealedStore.ts';
import { nodeCrypto } from '../../src/drivers/keys/software/nodeCrypto.ts';
import { decompressPoint } from '../../src/drivers/keys/software/points.ts';
import { CoapClient } from '../../src/drivers/links/coap/coapClient.ts';
import { systemTimer } from '../../src/drivers/links/systemTimer.ts';
import { fromHex, toHex } from '../../src/wire/bytes/hex.ts';
import { fromUtf8, utf8 } from '../../src/wire/bytes/utf8.ts';
import { deviceCredential } from '../../src/wire/edhoc/agreeCredential.ts';
import { type CoapWorld, coapWorld } from '../support/coapWorld.ts';
import { Field, type FieldDevice } from '../support/field.ts';
import { MemorySessionStore } from '../support/memorySessionStore.ts';
import { needsPython, PythonPeer, type Said } from '../support/python.ts';

type Style = 'by-key-id' | 'by-value';

/** The credential and the private key of a device, for whoever plays it. */
function identityOf({ deviceId, element }: FieldDevice): Said {
  const { publicKey } = element.keys.agree;
  const credential = deviceCredential(nodeCrypto, deviceId, publicKey);
  assert.ok(credential);
  return {
    ownCredential: toHex(credential.cred),
    privateKey: scalarOf(element.keys.agree.privateKey),
  };
}

function scalarOf(privateKey: FieldDevice['element']['keys']['agree']['privateKey']): string {
  const { d } = privateKey.export({ format: 'jwk' });
  assert.ok(d !== undefined);
  return Buffer.from(d, 'base64url').toString('hex');
}

function foreignDevice(context: TestContext, world: CoapWorld, style: Style): PythonPeer {
  const device = world.field.addDevice(1);
  const peer = PythonPeer.start(context, 'coapClient.py');
  const uri = `coap://127.0.0.1:${world.door.port}`;
  const peerCredential = toHex(world.field.serverIdentity);
  peer.tell({ uri, style, ...identityOf(device), peerCredential });
  return peer;
}

const telemetry = (text: string): Said => ({
  method: 'POST',
  path: '/t',
  payload: toHex(utf8(text)),
});

for (const style of ['by-key-id', 'by-value'] as const) {
  test(
    `a foreign device with its key ${style}: one handshake, one session`,
    needsPython,
    async (context) => {
      const world = await coapWorld(context);
      const peer = foreignDevice(context, world, style);
      for (const text of ['first', 'second', 'third']) {
        assert.deepEqual(await peer.ask(telemetry(text)), { code: '2.04', payload: '' });
      }
      const { delivered, observations } = world.field;
      assert.deepEqual(
        delivered.map(({ deviceId, text, meta }) => [deviceId, text, meta.sequenceNumber]),
        [
          ['device0000000001', 'first', 0],
          ['device0000000001', 'second', 1],
          ['device0000000001', 'third', 2],
        ],
      );
      assert.equal(observations.filter(({ kind }) => kind === 'session-began').length, 1);
      assert.deepEqual([world.refusals, world.defects], [[], []]);
    },
  );
}

test(
  'a foreign device goes on with a server that has been restarted',
  needsPython,
  async (context) => {
    const world = await coapWorld(context);
    const peer = foreignDevice(context, world, 'by-key-id');
    await peer.ask(telemetry('before'));
    world.field.restartServer();
    assert.equal((await peer.ask(telemetry('after')))['code'], '2.04');
    assert.deepEqual(world.field.textsOf('device0000000001'), ['before', 'after']);
  },
);

test(
  'a foreign device answers the challenge of a store that was put back',
  needsPython,
  async (context) => {
    const store = new MemorySessionStore();
    const world = await coapWorld(context, { store });
    const peer = foreignDevice(context, world, 'by-key-id');
    await peer.ask(telemetry('before'));
    store.incarnation = 1;
    world.field.restartServer();
    assert.equal((await peer.ask(telemetry('after')))['code'], '2.04');
    assert.deepEqual(world.field.textsOf('device0000000001'), ['before', 'after']);
    assert.equal(world.field.observations.filter(({ kind }) => kind === 'challenged').length, 1);
  },
);

test('what there is not is a protected 4.04', needsPython, async (context) => {
  const world = await coapWorld(context);
  const peer = foreignDevice(context, world, 'by-key-id');
  const nowhere = { method: 'GET', path: '/nowhere', payload: '' };
  assert.equal((await peer.ask(nowhere))['code'], '4.04');
});

test('a device that nobody knows gets no session', needsPython, async (context) => {
  const world = await coapWorld(context);
  const peer = foreignDevice(context, world, 'by-value');
  world.field.devices.clear();
  assert.notEqual((await peer.ask(telemetry('x')))['code'], '2.04');
  assert.deepEqual(world.field.delivered, []);
});

async function ourDevice(
  context: TestContext,
  port: number,
  device: FieldDevice,
): Promise<CoapSession> {
  const link = await CoapClient.open({ host: '127.0.0.1', port, crypto: nodeCrypto });
  context.after(() => link.close());
  const { element, flash } = device;
  const store = await openSealedStore(element, flash, nodeCrypto);
  const ports = {
    element,
    link,
    store,
    timer: systemTimer,
    crypto: nodeCrypto,
    decompress: decompressPoint,
  };
  return CoapSession.open(ports, () => undefined);
}

test('our device with a foreign server', needsPython, async (context) => {
  const field = new Field();
  const device = field.addDevice(1);
  const peer = PythonPeer.start(context, 'coapServer.py');
  const { port } = await peer.ask({
    style: 'by-key-id',
    ownCredential: toHex(field.serverIdentity),
    privateKey: scalarOf(field.serverKey.privateKey),
    peerCredential: identityOf(device)['ownCredential'],
  });
  assert.ok(typeof port === 'number');
  const session = await ourDevice(context, port, device);
  for (const text of ['first', 'second']) {
    await session.telemetry(utf8(text));
    const { payload, claims } = await peer.next();
    assert.equal(fromUtf8(fromHex(String(payload))), text);
    assert.deepEqual(claims, [':device']);
  }
});
