/**
 * The reverse message flow over CoAP (RFC 9528 Appendix A.2.2) from the device's side: it asks the server to
 * begin and is the responder. Method 3 by agree key, the server pinned. Whoever answers the request learns
 * which device it is, and only the device learns who the server is: the other way round than usual.
 */
import { empty, equal } from '../../wire/bytes/bytes.ts';
import type { AgreeCredential } from '../../wire/edhoc/agreeCredential.ts';
import { carry } from '../../wire/edhoc/carriage.ts';
import { isEdhocRefusal } from '../../wire/edhoc/refusal.ts';
import { readMessage1 } from '../../wire/edhoc/responder.ts';
import type { EdhocSession } from '../../wire/edhoc/session.ts';
import type { Crypto } from '../../wire/crypto/crypto.ts';
import { rawLinkMethod, rawLinkSuite } from '../../wire/relay/rawLink.ts';
import type { DeviceElement } from '../ports/element.ts';
import { HandshakeRefused, newConnectionId } from './handshake.ts';
import { isPinned } from './pinnedTrust.ts';

/** POST to the resource for EDHOC; rejects with a `HandshakeRefused` for what is no 2.04. */
export type EdhocPost = (payload: Uint8Array) => Promise<Uint8Array>;

const profile = { methods: [rawLinkMethod], suites: [rawLinkSuite], message4: false } as const;

/** A session that the server does not know to be one before it was used. Rejects with a `HandshakeRefused`. */
export async function answerHandshake(
  { crypto, element }: { readonly crypto: Crypto; readonly element: DeviceElement },
  { own, server }: { readonly own: AgreeCredential; readonly server: AgreeCredential },
  post: EdhocPost,
): Promise<{ readonly session: EdhocSession; readonly handshakeBytes: readonly number[] }> {
  const message1 = await post(empty);
  const accepted = readMessage1(crypto, profile, message1);
  if (isEdhocRefusal(accepted)) throw refused(accepted.reason);
  const { peerConnectionId } = accepted;
  // RFC 9528 §3.3.3: other than the server's, which has three bytes where it is ours.
  const connectionId = differentId(crypto, peerConnectionId);
  const composed = accepted.compose({ connectionId, own });
  if (isEdhocRefusal(composed)) throw refused(composed.reason);
  if (composed.kind !== 'agreement-needed')
    throw new TypeError('method 3 asks for agreements only');
  const secret = await element.agree('agree', composed.peerPublicKey);
  if (secret === undefined) throw refused('the element refused G_X');
  const { next, message2 } = composed.finish(secret);
  const message3 = await post(carry(peerConnectionId, message2));
  const read = next.readMessage3(message3);
  if (isEdhocRefusal(read)) throw refused(read.reason);
  const verified = isPinned(read.references, server) ? read.accept(server) : undefined;
  if (verified === undefined || isEdhocRefusal(verified)) throw refused('another server');
  const handshakeBytes = [message1.length, message2.length, message3.length];
  return { session: verified.finish().session, handshakeBytes };
}

function differentId(crypto: Crypto, taken: Uint8Array): Uint8Array {
  for (;;) {
    const connectionId = newConnectionId(crypto);
    if (!equal(connectionId, taken)) return connectionId;
  }
}

function refused(reason: string): HandshakeRefused {
  return new HandshakeRefused(`no handshake: ${reason}`);
}
