/** The CBOR reader: whatever it takes is one whole item, and its accessors agree with skipping it. */
import assert from 'node:assert/strict';
import { fromHex } from '../../src/wire/bytes/hex.ts';
import { CborReader } from '../../src/wire/cbor/reader.ts';
import * as cbor from '../../src/wire/cbor/writer.ts';
import { fuzz } from '../support/fuzz.ts';

const valid = [
  cbor.array(cbor.integer(1), cbor.bytes(fromHex('0102')), cbor.text('ü'), cbor.nullItem),
  cbor.map([cbor.integer(-1), cbor.trueItem], [cbor.text('a'), cbor.array()]),
  cbor.tag(18, cbor.array(cbor.bytes(new Uint8Array(30)), cbor.map())),
  cbor.integer(2 ** 40),
];

fuzz({
  name: 'cbor',
  valid,
  read: (input) => {
    const skipped = new CborReader(input);
    const item = skipped.item();
    const walked = new CborReader(input);
    walk(walked);
    assert.equal(walked.offset, skipped.offset);
    assert.equal(item.length, skipped.offset);
  },
});

/** Reads an item by the accessor of its type; deeper ones are skipped. */
function walk(reader: CborReader): void {
  switch (reader.peek()) {
    case 'unsigned':
    case 'negative':
      reader.integer();
      return;
    case 'bytes':
      reader.bytes();
      return;
    case 'text':
      reader.text();
      return;
    case 'array':
      for (let count = reader.array(); count > 0; count--) reader.skip();
      return;
    case 'map':
      for (let count = reader.map() * 2; count > 0; count--) reader.skip();
      return;
    case 'tag':
      reader.tag();
      reader.skip();
      return;
    case 'simple':
      reader.simple();
  }
}
