/** A device with IP and without TLS at a whole provisioner: EDHOC, telemetry, an LDevID, and a session by it. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { enrolInSession } from '../../src/device/enrolment/sessionEnrolment.ts';
import { CoapSession, type CoapSessionEvent } from '../../src/device/sessions/coapSession.ts';
import { openSealedStore } from '../../src/device/storage/sealedStore.ts';
import { openElement } from '../../src/drivers/elements/software/elementFolder.ts';
import { nodeCrypto } from '../../src/drivers/keys/software/nodeCrypto.ts';
import { decompressPoint } from '../../src/drivers/keys/software/points.ts';
import { CoapClient } from '../../src/drivers/links/coap/coapClient.ts';
import { systemTimer } from '../../src/drivers/links/systemTimer.ts';
import { utf8 } from '../../src/wire/bytes/utf8.ts';
import { methods } from '../../src/wire/coap/codes.ts';
import { uriPath } from '../../src/wire/coap/options.ts';
import { MemoryDeviceStore } from '../support/memoryDeviceStore.ts';
import { pki } from '../support/peers.ts';
import { testNowMs } from '../support/pki.ts';
import { testProvisioner } from '../support/provisioner.ts';
import { elementPassphrase, giveBirth } from '../support/softwareDevices.ts';
import { seedDevices } from '../support/seedDevices.ts';

test('from the first datagram to a session by LDevID', async (context) => {
  const folder = mkdtempSync(join(tmpdir(), 'birthmark-coap-'));
  context.after(() => rmSync(folder, { recursive: true }));
  const config = { folder: join(folder, 'provisioner'), coapPort: 0 };
  // Its first start makes the identity that elements are born with.
  const before = await testProvisioner(context, { config });
  await before.close();
  const { serverIdentity } = before;
  const born = await giveBirth(
    { folder: join(folder, 'elements'), pki, serverIdentity },
    1,
    'meter',
  );
  await seedDevices(config.folder, [born.imported]);
  const it = await testProvisioner(context, { config });
  const port = it.coapPort;
  assert.ok(port !== undefined);

  const link = await CoapClient.open({ host: '127.0.0.1', port, crypto: nodeCrypto });
  context.after(() => link.close());
  const discovery = { code: methods.get, options: uriPath('/.well-known/core'), payload: utf8('') };
  const { payload } = await link.transfer(discovery);
  assert.match(new TextDecoder().decode(payload), /rt=core\.edhoc;.*rt=ace\.est\.sren;/);

  const element = await openElement(born.elementFile, elementPassphrase);
  const flash = new MemoryDeviceStore();
  const store = await openSealedStore(element, flash, nodeCrypto);
  const ports = {
    element,
    link,
    store,
    timer: systemTimer,
    crypto: nodeCrypto,
    decompress: decompressPoint,
  };
  const handshakes: number[][] = [];
  const onSession = (event: CoapSessionEvent): void => {
    if (event.kind === 'session') handshakes.push([...event.handshakeBytes]);
  };
  const byKey = await CoapSession.open(ports, onSession);
  await byKey.telemetry(utf8('by key'));
  const outcome = await enrolInSession(
    {
      element,
      crypto: nodeCrypto,
      clock: { nowMs: () => testNowMs },
      decompress: decompressPoint,
      exchange: (request) => byKey.exchange(request),
    },
    { blockBytes: 512, form: 'c509', checksIssuer: true },
  );
  assert.equal(outcome.kind, 'enrolled', JSON.stringify(outcome));

  const forgotten = ['coap-session', 'coap-resumption'].map((name) => [name, undefined] as const);
  await store.commit(new Map(forgotten));
  const byLdevid = await CoapSession.open(ports, onSession, { showAs: 'ldevid' });
  await byLdevid.telemetry(utf8('by LDevID'));
  const [key, ldevid] = handshakes;
  assert.deepEqual(key, [37, 48, 121]);
  assert.ok((ldevid?.[2] ?? 0) > 200, String(ldevid));
  assert.deepEqual(it.troubles, []);
});
