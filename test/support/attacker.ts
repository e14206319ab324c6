/** What an attacker does to messages that he has heard, and what has to be true all the same. */
import assert from 'node:assert/strict';
import type { SeededRandom } from '../../sim/radio/random.ts';
import { concat, empty, equal } from '../../src/wire/bytes/bytes.ts';
import type { Field } from './field.ts';

/** Flipped, cut, spliced with another one, lengthened, overwritten. */
export function changed(frame: Uint8Array, other: Uint8Array, random: SeededRandom): Uint8Array {
  const at = random.below(Math.max(1, frame.length));
  const [before, after] = [frame.slice(0, at), frame.slice(at)];
  const replaced = (change: (byte: number) => number): Uint8Array =>
    frame.map((byte, place) => (place === at ? change(byte) : byte));
  switch (random.below(5)) {
    case 0:
      return replaced((byte) => byte ^ (1 << random.below(8)));
    case 1:
      return before;
    case 2:
      return concat(before, other.slice(random.below(Math.max(1, other.length))));
    case 3:
      return concat(before, random.bytes(2), after);
    default:
      return replaced(() => random.below(256));
  }
}

/** What every delivered message has to be: said by that device, and delivered under its name once. */
export function assertTrue(
  field: Field,
  submitted: ReadonlyMap<string, ReadonlySet<string>>,
): void {
  const names = new Set<string>();
  for (const { deviceId, text, meta } of field.delivered) {
    assert.ok(submitted.get(deviceId)?.has(text), `${deviceId} never said ${text}`);
    const device = field.devices.get(deviceId);
    const isHere = meta.ingress === 'coap' || equal(meta.linkAddress, device?.linkAddress ?? empty);
    assert.ok(isHere, `${deviceId} is elsewhere`);
    const name = `${meta.sessionId}/${meta.sequenceNumber}`;
    assert.ok(!names.has(name), `${name} came twice`);
    names.add(name);
  }
}
