/**
 * A link whose frames are too short for message_2 with a certificate: the answer to message_1 is fetched in
 * parts, each asked for once the one before has come. To the sensor above it is a link like any other: it
 * sends message_1, sends it again when no answer came, and gets the whole frame. A loss of power begins with
 * message_1 again, and the server has the same answer.
 */
import { concat, equal } from '../../wire/bytes/bytes.ts';
import { MalformedError } from '../../wire/bytes/malformed.ts';
import type { Crypto } from '../../wire/crypto/crypto.ts';
import { readFrame } from '../../wire/relay/frame.ts';
import {
  partHashBytes,
  partsKind,
  type Part,
  readPart,
  writePartRequest,
} from '../../wire/relay/parts.ts';
import type { Link } from '../ports/link.ts';

interface Fetch {
  readonly message1: Uint8Array;
  readonly hash: Uint8Array;
  parts: readonly Uint8Array[];
  /** Requests since the last part came. */
  tries: number;
}

export function partedLink(link: Link, crypto: Crypto): Link {
  const { maximumFrameBytes } = link;
  let fetch: Fetch | undefined;

  const ask = (present: Fetch): Promise<void> => {
    const { message1, hash, parts } = present;
    const number = parts.length;
    // Every third time with message_1: the server may have forgotten the handshake.
    const goesOn = number > 0 && present.tries % 3 !== 2;
    present.tries += 1;
    const limitBytes = Math.min(maximumFrameBytes, 0xff);
    return link.send(
      writePartRequest(goesOn ? { limitBytes, number, hash } : { limitBytes, number: 0, message1 }),
    );
  };

  /** The whole frame, once it is there. */
  const onPart = async (present: Fetch, received: Part): Promise<Uint8Array | undefined> => {
    const { number, isLast, part } = received;
    const { parts } = present;
    const [first] = parts;
    // Another answer to the same message_1: the server had forgotten the one before.
    if (number === 0 && (first === undefined || !equal(first, part)))
      present.parts = [part.slice()];
    else if (number === parts.length) present.parts = [...parts, part.slice()];
    else if (number !== 0) return undefined;
    if (isLast && number > 0) return concat(...present.parts);
    present.tries = 0;
    // A frame that the radio did not take is like one that got lost: message_1 is sent again.
    await ask(present).catch(() => undefined);
    return undefined;
  };

  return {
    maximumFrameBytes,
    send: (frame) => {
      const parsed = frame[0] === partsKind ? undefined : readFrame(frame);
      if (parsed?.kind !== 'edhoc-start') {
        fetch = undefined;
        return link.send(frame);
      }
      const { message1 } = parsed;
      if (fetch === undefined || !equal(fetch.message1, message1)) {
        const hash = crypto.hash('SHA-256', message1).subarray(0, partHashBytes);
        fetch = { message1: message1.slice(), hash, parts: [], tries: 0 };
      }
      return ask(fetch);
    },
    onFrame: (receive) => {
      link.onFrame(async (frame) => {
        if (frame[0] !== partsKind) return receive(frame);
        const part = partOf(frame);
        if (fetch === undefined || part === undefined || !equal(part.hash, fetch.hash)) return;
        const whole = await onPart(fetch, part);
        if (whole === undefined) return;
        // What came together may be damaged: the next message_1 begins anew.
        fetch = { ...fetch, parts: [], tries: 0 };
        await receive(whole);
      });
    },
  };
}

function partOf(frame: Uint8Array): Part | undefined {
  try {
    return readPart(frame);
  } catch (error) {
    if (error instanceof MalformedError) return undefined;
    throw error;
  }
}
