/** The states of a sensor's session that outlive its power, and their stored form. */
import type { Crypto } from '../../wire/crypto/crypto.ts';
import { AwaitApplication } from '../../wire/edhoc/completion.ts';
import { AwaitMessage2 } from '../../wire/edhoc/initiator.ts';
import { EdhocSession } from '../../wire/edhoc/session.ts';
import { Channel, type ChannelUse } from './channel.ts';
import type { Awaiting, Resuming, Unconfirmed } from './handshake.ts';
import { encodeRecord, parseRecord } from './record.ts';
import type { ResumptionMethod } from './resumption.ts';

/** message_3 was made, and nothing has shown yet that the server has the keys too. */
export interface UnconfirmedSession extends Unconfirmed {
  readonly channel: Channel;
}

export interface LiveSession {
  readonly kind: 'live';
  readonly session: EdhocSession;
  readonly handshakeBytes: readonly number[];
  readonly channel: Channel;
}

export type SessionState = Awaiting | Resuming | UnconfirmedSession | LiveSession;

/** Those with keys to send under. */
export type OpenSession = UnconfirmedSession | LiveSession;

export function hasKeys(state: SessionState | undefined): state is OpenSession {
  return state?.kind === 'unconfirmed' || state?.kind === 'live';
}

/** `use` is what will hold once the value is durable; of a channel that exists, by default, what holds now. */
export function storedForm(state: SessionState, use?: ChannelUse): Uint8Array {
  const { handshakeBytes } = state;
  switch (state.kind) {
    case 'awaiting':
    case 'resuming': {
      const { kind, edhoc, frame } = state;
      return encodeRecord({ kind, state: edhoc.store(), frame, handshakeBytes });
    }
    case 'unconfirmed': {
      const { kind, edhoc, frame, channel } = state;
      const keys = use ?? channel.use;
      return encodeRecord({ kind, state: edhoc.store(), frame, handshakeBytes, ...keys });
    }
    case 'live': {
      const { kind, session, channel } = state;
      return encodeRecord({
        kind,
        state: session.store(),
        handshakeBytes,
        ...(use ?? channel.use),
      });
    }
  }
}

/**
 * `undefined` for a resumption that this build cannot go on with. Throws a `MalformedError` on what
 * `storedForm` did not give.
 */
export function restoredState(
  crypto: Crypto,
  stored: Uint8Array,
  resumption?: ResumptionMethod,
): SessionState | undefined {
  const record = parseRecord(stored);
  const { handshakeBytes } = record;
  switch (record.kind) {
    case 'awaiting': {
      const { kind, frame } = record;
      return { kind, edhoc: AwaitMessage2.restore(crypto, record.state), frame, handshakeBytes };
    }
    case 'resuming': {
      const { kind, frame } = record;
      const edhoc = resumption?.restoreState(crypto, record.state);
      return edhoc && { kind, edhoc, frame, handshakeBytes };
    }
    case 'unconfirmed': {
      const { kind, frame } = record;
      const edhoc = AwaitApplication.restore(crypto, record.state);
      const channel = new Channel(crypto, edhoc.pendingKeys.oscoreParameters(), record);
      return { kind, resumed: false, edhoc, frame, handshakeBytes, channel };
    }
    case 'live': {
      const session = EdhocSession.restore(crypto, record.state);
      const channel = new Channel(crypto, session.oscoreParameters(), record);
      return { kind: 'live', session, handshakeBytes, channel };
    }
  }
}
