/** Envelopes, frames of raw links, and modem datagrams: what is read writes the same bytes. */
import assert from 'node:assert/strict';
import { fromHex } from '../../src/wire/bytes/hex.ts';
import { readEnvelope, writeEnvelope } from '../../src/wire/relay/envelope.ts';
import { readFrame, writeFrame } from '../../src/wire/relay/frame.ts';
import { readModemDatagram, writeModemDatagram } from '../../src/wire/relay/modem.ts';
import { readPart, readPartRequest, writePartRequest } from '../../src/wire/relay/parts.ts';
import { fuzz } from '../support/fuzz.ts';

const linkAddress = fromHex('02005efffe000001');
const frame = fromHex('01f50302');

fuzz({
  name: 'envelope',
  valid: [writeEnvelope({ linkAddress, frame })],
  read: (input) => assert.deepEqual(writeEnvelope(readEnvelope(input)), input),
});

fuzz({
  name: 'link-frame',
  valid: [frame, fromHex('01214102'), fromHex('0141184102'), fromHex('02440200010f93')],
  read: (input) => assert.deepEqual(writeFrame(readFrame(input)), input),
});

fuzz({
  name: 'modem',
  valid: [
    writeModemDatagram({ kind: 'attach', linkAddress }),
    writeModemDatagram({ kind: 'frame', linkAddress, frame }),
  ],
  read: (input) => assert.deepEqual(writeModemDatagram(readModemDatagram(input)), input),
});

fuzz({
  name: 'link-parts',
  valid: [fromHex('033300f50302'), fromHex('033307a1b2'), fromHex('0382a1b2010203')],
  read(input) {
    if ((input[1] ?? 0) >= 0x80) readPart(input);
    else assert.deepEqual(writePartRequest(readPartRequest(input)), input);
  },
});
