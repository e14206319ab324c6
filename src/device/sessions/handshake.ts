/**
 * The sensor's side of EDHOC on a raw link: initiator, static Diffie-Hellman. Each step gives what has to be stored before anything is sent.
 */
import type { Crypto } from '../../wire/crypto/crypto.ts';
import { type AgreeCredential, deviceCredential } from '../../wire/edhoc/agreeCredential.ts';
import { AwaitApplication, type AwaitMessage4 } from '../../wire/edhoc/completion.ts';
import {
  type AwaitMessage2,
  type ResponderVerified,
  startInitiator,
} from '../../wire/edhoc/initiator.ts';
import type { EadItem } from '../../wire/edhoc/ead.ts';
import { type EdhocRefusal, isEdhocRefusal, refuse } from '../../wire/edhoc/refusal.ts';
import type { PskCredential } from '../../wire/edhoc/psk.ts';
import type { PskAwaitMessage2 } from '../../wire/edhoc/pskInitiator.ts';
import type { InitiatorProfile } from '../../wire/edhoc/profile.ts';
import { fromUtf8 } from '../../wire/bytes/utf8.ts';
import { writeFrame } from '../../wire/relay/frame.ts';
import { rawLinkMethod, rawLinkSuite } from '../../wire/relay/rawLink.ts';
import type { DeviceElement } from '../ports/element.ts';
import { DeviceFault } from '../ports/faults.ts';
import type { ResumptionMethod } from './resumption.ts';
import type { ServerTrust } from './serverTrust.ts';

/** No server that is ours, or one that refuses us: another way to new keys may do. */
export class HandshakeRefused extends DeviceFault {
  constructor(reason: string) {
    super(reason, { retryable: true });
  }
}

/** By the kid of the agree key. Rejects with a `DeviceFault` when the element has none. */
export async function readOwn(element: DeviceElement, crypto: Crypto): Promise<AgreeCredential> {
  const deviceId = fromUtf8((await element.readData('device-id')) ?? new Uint8Array(0));
  const point = await element.publicKey('agree');
  if (deviceId === undefined || deviceId === '' || point === undefined) {
    throw new DeviceFault('the element has no agree key', { retryable: false });
  }
  const own = deviceCredential(crypto, deviceId, point);
  if (own === undefined) throw new DeviceFault('the element is damaged', { retryable: false });
  return own;
}

/** No message_4: the first answer under OSCORE shows that the server has the keys (RFC 9528 §5.4.2). */
export const profile: InitiatorProfile = {
  method: rawLinkMethod,
  suites: [rawLinkSuite],
  message4: false,
};

export interface Awaiting {
  readonly kind: 'awaiting';
  readonly edhoc: AwaitMessage2;
  readonly frame: Uint8Array;
  readonly handshakeBytes: readonly number[];
}

/** The same with a resumption key (draft-ietf-lake-edhoc-psk). */
export interface Resuming {
  readonly kind: 'resuming';
  readonly edhoc: PskAwaitMessage2;
  readonly frame: Uint8Array;
  readonly handshakeBytes: readonly number[];
}

export interface Unconfirmed {
  readonly kind: 'unconfirmed';
  /** With a PSK nobody has authenticated the server yet, and nothing of it may be stored. */
  readonly resumed: boolean;
  readonly edhoc: AwaitApplication;
  readonly frame: Uint8Array;
  readonly handshakeBytes: readonly number[];
}

/** A new ephemeral key and a new connection identifier. */
export function beginHandshake(crypto: Crypto, ead1: readonly EadItem[] = []): Awaiting {
  const connectionId = newConnectionId(crypto);
  const { next, message1 } = startInitiator(crypto, profile, { connectionId, ead1 });
  const frame = writeFrame({ kind: 'edhoc-start', message1 });
  return { kind: 'awaiting', edhoc: next, frame, handshakeBytes: [message1.length] };
}

/** One byte that travels as one byte. */
export function newConnectionId(crypto: Crypto): Uint8Array {
  const [chance = 0] = crypto.random(1);
  const place = chance % 48;
  return Uint8Array.of(place < 24 ? place : 0x20 + place - 24);
}

export type Message2Outcome<Edhoc = AwaitMessage2> =
  | Unconfirmed
  /** Forged, damaged or for an earlier handshake: the true one may still come. */
  | { readonly kind: 'ignored'; readonly edhoc: Edhoc; readonly refusal: EdhocRefusal }
  /** This handshake cannot go on; another one may. */
  | { readonly kind: 'over'; readonly refusal: EdhocRefusal };

/** What a handshake is made with, besides its own state. */
export interface Held {
  /** Who we are: read from the element once. */
  readonly own: AgreeCredential;
  readonly element: DeviceElement;
  readonly trust: ServerTrust;
}

/**
 * Takes message_2 for the message after `awaiting`, which is spent. Rejects with the element's errors; the
 * state that was stored can then be restored, since no message_3 was made from it.
 */
export async function takeMessage2(
  awaiting: Awaiting,
  message2: Uint8Array,
  { own, element, trust }: Held,
): Promise<Message2Outcome> {
  const verified = await verifyServer(awaiting.edhoc, message2, trust);
  if (verified.kind !== 'responder-verified') return verified;
  const needed = verified.compose({ own });
  if (isEdhocRefusal(needed)) return { kind: 'over', refusal: needed };
  if (needed.kind !== 'agreement-needed') throw new TypeError('method 3 asks for agreements only');
  const secret = await element.agree('agree', needed.peerPublicKey);
  if (secret === undefined) {
    return { kind: 'over', refusal: refuse('invalid-key', 'the element refused G_Y') };
  }
  const { next, message3 } = needed.finish(secret);
  return unconfirmed(next, message3, false, [...awaiting.handshakeBytes, message2.length]);
}

/** What the answer to either kind of message_1 leads to; where it was ignored, the state that waits on. */
export async function takeAnswer(
  state: Awaiting | Resuming,
  message2: Uint8Array,
  held: Held & {
    /** What a resumption was begun with. */
    readonly resumption: ResumptionMethod | undefined;
    readonly psk: PskCredential | undefined;
  },
): Promise<
  | Exclude<Message2Outcome, { readonly kind: 'ignored' }>
  | {
      readonly kind: 'ignored';
      readonly waiting: Awaiting | Resuming;
      readonly refusal: EdhocRefusal;
    }
> {
  const { resumption, psk } = held;
  if (state.kind === 'awaiting') {
    const outcome = await takeMessage2(state, message2, held);
    if (outcome.kind !== 'ignored') return outcome;
    return { ...outcome, waiting: { ...state, edhoc: outcome.edhoc } };
  }
  if (psk === undefined || resumption === undefined) {
    throw new TypeError('a resumption without its key');
  }
  const outcome = resumption.take(state, message2, psk);
  if (outcome.kind !== 'ignored') return outcome;
  return { ...outcome, waiting: { ...state, edhoc: outcome.edhoc } };
}

/** message_3 as a frame, with the state that waits for its answer. */
export function unconfirmed(
  next: AwaitMessage4 | AwaitApplication,
  message3: Uint8Array,
  resumed: boolean,
  sizes: readonly number[],
): Unconfirmed {
  if (!(next instanceof AwaitApplication)) throw new TypeError('the profile has no message_4');
  const connectionId = next.pendingKeys.peerConnectionId;
  const frame = writeFrame({ kind: 'edhoc', connectionId, message: message3 });
  const handshakeBytes = [...sizes, message3.length];
  return { kind: 'unconfirmed', resumed, edhoc: next, frame, handshakeBytes };
}

/** Whom the device trusts decides, whatever message_2 names. */
async function verifyServer(
  edhoc: AwaitMessage2,
  message2: Uint8Array,
  trust: ServerTrust,
): Promise<ResponderVerified | Exclude<Message2Outcome, Unconfirmed>> {
  const read = edhoc.readMessage2(message2);
  if (isEdhocRefusal(read)) {
    return edhoc.spent
      ? { kind: 'over', refusal: read }
      : { kind: 'ignored', edhoc, refusal: read };
  }
  const judged = await trust.judge(read);
  const verified = isEdhocRefusal(judged) ? judged : read.accept(judged.credential);
  if (!isEdhocRefusal(verified)) {
    if (!isEdhocRefusal(judged)) await judged.proven();
    return verified;
  }
  if (read.spent) return { kind: 'over', refusal: verified };
  // RFC 9528 §9.7: what is likely a forgery need not end the handshake.
  const waiting = read.keepWaiting();
  return isEdhocRefusal(waiting)
    ? { kind: 'over', refusal: waiting }
    : { kind: 'ignored', edhoc: waiting, refusal: verified };
}
