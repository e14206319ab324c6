import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { test } from 'node:test';
import { defaultAir } from '../../../sim/radio/air.ts';
import { type AirFrame, startUdpAir } from '../../../sim/radio/udpAir.ts';
import { DeviceFault } from '../../../src/device/ports/faults.ts';
import { openUdpLink, openUdpRadioPort } from '../../../src/drivers/links/udp/udpLink.ts';
import { fromHex, toHex } from '../../../src/wire/bytes/hex.ts';
import { writeModemDatagram } from '../../../src/wire/relay/modem.ts';

const linkAddress = fromHex('02005efffe000001');
const host = '127.0.0.1';
const calm = { ...defaultAir, drop: 0, duplicate: 0, reorder: 0, delayMs: [0, 0] } as const;

test('frames over real sockets, from sensor to gateway and back', async () => {
  const seen: AirFrame[] = [];
  const air = await startUdpAir({
    ...calm,
    seed: 1,
    sensorPort: 0,
    gatewayPort: 0,
    onGatewayFrame: (frame) => seen.push(frame),
  });
  const radio = await openUdpRadioPort({
    modem: { host, port: air.gatewayPort },
    maximumFrameBytes: 51,
    attachIntervalMs: 20,
  });
  const sensor = await openUdpLink({
    modem: { host, port: air.sensorPort },
    linkAddress,
    maximumFrameBytes: 51,
  });
  try {
    radio.onFrame(async (from, frame) => {
      assert.deepEqual(from, linkAddress);
      await radio.send(from, Uint8Array.from([...frame, 0xff]));
    });
    const answer = new Promise<Uint8Array>((resolve) => {
      sensor.onFrame((frame) => {
        resolve(frame);
        return Promise.resolve();
      });
    });
    // UDP gives no order between the attach and the first frame: send until it is answered.
    const again = setInterval(() => void sensor.send(fromHex('0102')), 20);
    assert.equal(toHex(await answer), '0102ff');
    clearInterval(again);
    assert.deepEqual(seen.slice(0, 2), [
      { direction: 'up', linkAddress: '02005efffe000001', frame: '0102' },
      { direction: 'down', linkAddress: '02005efffe000001', frame: '0102ff' },
    ]);
    await assert.rejects(
      sensor.send(new Uint8Array(52)),
      (error) => error instanceof DeviceFault && !error.retryable,
    );
  } finally {
    await Promise.all([sensor.close(), radio.close(), air.close()]);
  }
});

test('a datagram from another port is not from the modem', async () => {
  const modem = createSocket('udp4');
  const stranger = createSocket('udp4');
  await new Promise<void>((resolve) => modem.bind(0, host, resolve));
  const attached = new Promise<number>((resolve) => {
    modem.once('message', (_message, { port }) => resolve(port));
  });
  const sensor = await openUdpLink({
    modem: { host, port: modem.address().port },
    linkAddress,
    maximumFrameBytes: 51,
  });
  try {
    const received = new Promise<Uint8Array>((resolve) => {
      sensor.onFrame((frame) => {
        resolve(frame);
        return Promise.resolve();
      });
    });
    const port = await attached;
    const forged = writeModemDatagram({ kind: 'frame', linkAddress, frame: fromHex('bad0') });
    const honest = writeModemDatagram({ kind: 'frame', linkAddress, frame: fromHex('600d') });
    await new Promise((resolve) => stranger.send(forged, port, host, resolve));
    await new Promise((resolve) => modem.send(fromHex('ffff'), port, host, resolve));
    await new Promise((resolve) => modem.send(honest, port, host, resolve));
    assert.equal(toHex(await received), '600d');
  } finally {
    modem.close();
    stranger.close();
    await sensor.close();
  }
});
