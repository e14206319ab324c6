/** Files that a station and a device read from disk: elements, their folder's key, tickets. */
import { fuzz } from '../support/fuzz.ts';
import { parseTicketFile } from '../../src/apps/line/ticketFile.ts';
import {
  type ElementRecord,
  encodeElementRecord,
  macBytes,
  parseElementFile,
} from '../../src/drivers/elements/software/elementFile.ts';
import { encodeFolderKey, parseFolderKey } from '../../src/drivers/elements/software/folderKey.ts';
import { toBase64 } from '../../src/wire/bytes/base64.ts';
import { concat } from '../../src/wire/bytes/bytes.ts';
import { utf8 } from '../../src/wire/bytes/utf8.ts';
import { readAnchors, readBareAnchors, readDeviceIdSlot } from '../../src/wire/line/slotData.ts';

const blank: ElementRecord = {
  uid: Uint8Array.of(1, 2, 3),
  model: 'Software Element (NOT FOR PRODUCTION)',
  firmware: '1',
  lifecycle: 'blank',
  keys: new Map(),
  certificates: new Map(),
  data: new Map(),
};
const full: ElementRecord = {
  ...blank,
  lifecycle: 'locked',
  keys: new Map([
    ['sign', { publicKey: new Uint8Array(65).fill(4), sealed: new Uint8Array(166) }],
    ['agree', { publicKey: new Uint8Array(65).fill(4), sealed: new Uint8Array(166) }],
  ]),
  certificates: new Map([['idevid', [Uint8Array.of(0x30, 0), Uint8Array.of(0x30, 0)]]]),
  data: new Map([
    ['device-id', utf8('0123456789abcdef')],
    ['eui64', new Uint8Array(8)],
  ]),
};
const fileOf = (record: ElementRecord): Uint8Array =>
  concat(encodeElementRecord(record), new Uint8Array(macBytes));

fuzz({ name: 'elementFile', read: parseElementFile, valid: [fileOf(blank), fileOf(full)] });

fuzz({
  name: 'folderKey',
  read: parseFolderKey,
  valid: [
    encodeFolderKey({
      salt: new Uint8Array(16),
      costLog2: 17,
      blockSize: 8,
      check: new Uint8Array(32),
    }),
  ],
});

const ticket = Uint8Array.of(0x84, 0x43, 0xa1, 0x01, 0x26, 0xa0, 0x41, 0x00, 0x41, 0x00);
fuzz({
  name: 'ticketFile',
  read: parseTicketFile,
  valid: [ticket, utf8(`${toBase64(ticket)}\n`)],
});

fuzz({ name: 'anchorsSlot', read: readAnchors, valid: [Uint8Array.of(0x81, 0x42, 0x30, 0)] });

fuzz({
  name: 'bareAnchorsSlot',
  read: readBareAnchors,
  valid: [Uint8Array.of(0x82, 0x42, 0x30, 0, 0x42, 0x83, 0)],
});

fuzz({ name: 'deviceIdSlot', read: readDeviceIdSlot, valid: [utf8('0123456789abcdef')] });
