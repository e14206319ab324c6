/** What a device reads that it did not write itself: its server's answers, and a store on a failing disk. */
import assert from 'node:assert/strict';
import { parseConfiguration } from '../../src/device/enrolment/configuration.ts';
import {
  encodeRecord,
  encodeResumption,
  parseRecord,
  parseResumption,
} from '../../src/device/sessions/record.ts';
import { nodeCrypto } from '../../src/drivers/keys/software/nodeCrypto.ts';
import { decode } from '../../src/drivers/store/files/deviceStore.ts';
import { fromHex } from '../../src/wire/bytes/hex.ts';
import { utf8 } from '../../src/wire/bytes/utf8.ts';
import * as cbor from '../../src/wire/cbor/writer.ts';
import { fuzz } from '../support/fuzz.ts';

const deviceId = 'abcdefgh01234567';

fuzz({
  name: 'device-configuration',
  valid: [
    utf8(
      `{"deviceId":"${deviceId}","role":"gateway","mqtt":{"host":"iot.example","port":8883},"timeMs":1}`,
    ),
  ],
  // Never throws: what is no configuration is none.
  read: (input) => parseConfiguration(input, deviceId),
});

const body = cbor.map([cbor.text('session'), cbor.bytes(fromHex('010203'))]);

fuzz({
  name: 'device-store',
  valid: [cbor.array(cbor.integer(1), body, cbor.bytes(nodeCrypto.hash('SHA-256', body)))],
  read: decode,
});

const state = fromHex('00');
const keys = { reservedEnd: 32, failedVerifications: 0 };

fuzz({
  name: 'device-session-record',
  valid: [
    encodeRecord({ kind: 'resuming', state, frame: state, handshakeBytes: [37] }),
    encodeRecord({ kind: 'awaiting', state, frame: state, handshakeBytes: [37] }),
    encodeRecord({
      kind: 'unconfirmed',
      state,
      frame: state,
      handshakeBytes: [37, 45, 19],
      ...keys,
    }),
    encodeRecord({ kind: 'live', state, handshakeBytes: [37, 45, 19], ...keys }),
  ],
  read: (input) => assert.deepEqual(encodeRecord(parseRecord(input)), input),
});

fuzz({
  name: 'device-resumption-record',
  valid: [encodeResumption({ psk: fromHex('8501'), uses: 3 })],
  read: (input) => assert.deepEqual(encodeResumption(parseResumption(input)), input),
});
