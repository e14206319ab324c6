/** Material of contexts and pending runs of KUDOS as bytes. They are secrets: whoever stores them seals them. */
import { concat } from '../bytes/bytes.ts';
import { CborReader } from '../cbor/reader.ts';
import * as cbor from '../cbor/writer.ts';
import type { ContextMaterial } from './contextUpdate.ts';
import type { KudosPendingState } from './kudos.ts';
import type { Offer } from './kudosOffer.ts';
import { unused } from './limits.ts';
import { encodeX, parseX } from './option.ts';
import { encodeRecord, parseRecord } from './record.ts';

export function storeMaterial(material: ContextMaterial): Uint8Array {
  return encodeRecord({ ...material, sequenceEnd: 0, window: undefined, usage: unused });
}

/** Throws a `MalformedError` on bytes that `storeMaterial` did not give. */
export function restoreMaterial(bytes: Uint8Array): ContextMaterial {
  const { sequenceEnd: _end, window: _window, usage: _usage, ...material } = parseRecord(bytes);
  return material;
}

export function storePending(state: KudosPendingState): Uint8Array {
  const { old, ownOffer, peerOffer, earlierOffers, temporaryWindow } = state;
  return cbor.array(
    cbor.bytes(storeMaterial(old)),
    storeOffer(ownOffer),
    storeOffer(peerOffer),
    cbor.array(...earlierOffers.map(storeOffer)),
    cbor.integer(temporaryWindow.next),
    cbor.bytes(temporaryWindow.seen),
  );
}

/** Throws a `MalformedError` on bytes that `storePending` did not give. */
export function restorePending(bytes: Uint8Array): KudosPendingState {
  const reader = new CborReader(bytes);
  if (reader.array() !== 6) reader.fail('six members expected', 0);
  const old = restoreMaterial(reader.bytes());
  const ownOffer = restoreOffer(reader);
  const peerOffer = restoreOffer(reader);
  const earlierOffers = Array.from({ length: reader.array() }, () => restoreOffer(reader));
  const temporaryWindow = { next: reader.unsigned(), seen: reader.bytes().slice() };
  reader.end();
  return { old, ownOffer, peerOffer, earlierOffers, temporaryWindow };
}

/** As on the wire: x, and the nonce. */
function storeOffer(offer: Offer): Uint8Array {
  return cbor.bytes(concat(Uint8Array.of(encodeX(offer)), offer.nonce));
}

function restoreOffer(reader: CborReader): Offer {
  const [x = 0, ...nonce] = reader.bytes();
  return parseX(x, Uint8Array.from(nonce));
}
