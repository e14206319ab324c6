/**
 * KUDOS (draft-ietf-core-oscore-key-update-14 §4): two messages give two peers a new context. The states
 * are types: a received message that verifies spends the state and gives the next one, a refused message
 * leaves it as it was. While a state is not idle, every message goes out through it.
 *
 * Where the draft leaves a question: a pair (X, nonce) enters all derivations of a run in the form in which
 * it was first offered. Both sides of a run that both started, and so offered divergent pairs, then derive
 * the same context, as its §B.6 says they do.
 */
import { equal } from '../bytes/bytes.ts';
import type { CoapContent } from '../coap/message.ts';
import {
  type ClientExchange,
  openResponse,
  type ProtectedRequest,
  protectRequest,
} from './client.ts';
import type { SecurityContext } from './context.ts';
import type { ContextMaterial } from './contextUpdate.ts';
import { readProtected } from './incoming.ts';
import { type KeptState, NewContext } from './kudosContext.ts';
import {
  acceptsMode,
  asksNoForwardSecrecy,
  type KudosConfig,
  makeOffer,
  newMaterial,
  type Offer,
  sameOffer,
  temporaryContext,
} from './kudosOffer.ts';
import type { KeyUpdateField, OscoreOption } from './option.ts';
import { isRefused, type OscoreRefusal, refuse } from './refusal.ts';
import { ReplayWindow, type ReplayWindowState } from './replayWindow.ts';
import { type SenderSequence, volatileSequence } from './sequence.ts';
import { openRequest, protectResponse, type ServerExchange } from './server.ts';

/** A message that arrived: a request, or the response to one of ours. */
export type KudosIncoming<Message extends CoapContent> =
  | { readonly kind: 'request'; readonly message: Message }
  | { readonly kind: 'response'; readonly message: Message; readonly exchange: ClientExchange };

export interface KudosReceived<Message extends CoapContent, Next> {
  /** The decrypted message; without a payload of its own when it went to a KUDOS resource (§4.3.7). */
  readonly message: Message;
  /** For a request: answer through `next` while that is not idle. */
  readonly exchange?: ServerExchange;
  readonly next: Next;
}

/** Equilibrium: both sides use one context. */
export class KudosIdle {
  readonly #config: KudosConfig;
  readonly #material: ContextMaterial;
  #spent = false;

  constructor(config: KudosConfig, material: ContextMaterial) {
    this.#config = config;
    this.#material = material;
  }

  /** Starts a run: our nonce goes out with the next message. */
  begin(): KudosBusy {
    refuseSpent(this.#spent);
    this.#spent = true;
    return new KudosBusy(this.#config, this.#material, makeOffer(this.#config, false));
  }

  /**
   * A divergent message starts a run of the peer. A convergent one is an ordinary message to whoever is
   * idle (§4.3.3): `unprotectRequest` and `unprotectResponse` take it.
   */
  receive<Message extends CoapContent>(
    incoming: KudosIncoming<Message>,
  ): KudosReceived<Message, KudosPending> | OscoreRefusal {
    refuseSpent(this.#spent);
    const option = readKeyUpdate(incoming);
    if (isRefused(option)) return option;
    if (option.keyUpdate.convergent) return refuse('unexpected-key-update');
    const received = receiveDivergent(this.#config, this.#material, incoming, option);
    if (!isRefused(received)) this.#spent = true;
    return received;
  }
}

/** Our nonce is out, the peer's is not in: messages go out under a temporary context (§4.3.4). */
export class KudosBusy {
  readonly #config: KudosConfig;
  readonly #material: ContextMaterial;
  readonly #offer: Offer;
  readonly #sequence: SenderSequence;
  #spent = false;

  constructor(config: KudosConfig, material: ContextMaterial, offer: Offer) {
    this.#config = config;
    this.#material = material;
    this.#offer = offer;
    // Nobody restores a temporary context: after a restart the nonce is another one, and so is the key.
    this.#sequence = volatileSequence(temporaryContext(config, material, offer));
  }

  protectRequest<Message extends CoapContent>(
    request: Message,
  ): ProtectedRequest<Message> | OscoreRefusal {
    return protectRequestWith(this.#sequence, this.#offer, request);
  }

  protectResponse<Message extends CoapContent>(
    exchange: ServerExchange,
    response: Message,
  ): Message | OscoreRefusal {
    return protectResponseWith(this.#sequence, this.#offer, exchange, response);
  }

  /** §4.3.4: with another nonce, when the temporary context is used up. */
  renew(): KudosBusy {
    this.#spend();
    return new KudosBusy(this.#config, this.#material, makeOffer(this.#config, false));
  }

  /** Nothing came: back to the context that both had. */
  abandon(): KudosIdle {
    this.#spend();
    return new KudosIdle(this.#config, this.#material);
  }

  receive<Message extends CoapContent>(
    incoming: KudosIncoming<Message>,
  ): KudosReceived<Message, KudosConfirmed | KudosPending> | OscoreRefusal {
    refuseSpent(this.#spent);
    const option = readKeyUpdate(incoming);
    if (isRefused(option)) return option;
    const received = option.keyUpdate.convergent
      ? this.#receiveConvergent(incoming, option)
      : receiveDivergent(this.#config, this.#material, incoming, option, { offered: this.#offer });
    if (!isRefused(received)) this.#spent = true;
    return received;
  }

  #receiveConvergent<Message extends CoapContent>(
    incoming: KudosIncoming<Message>,
    option: KeyUpdateOption,
  ): KudosReceived<Message, KudosConfirmed> | OscoreRefusal {
    const keyUpdate = kept(option.keyUpdate);
    if (!acceptsMode(this.#config, keyUpdate)) return refuse('unexpected-key-update');
    // A peer that had started as well offered its nonce in a divergent message before.
    const divergent = { ...keyUpdate, convergent: false };
    let refusal: OscoreRefusal = refuse('decryption-failed');
    for (const peerOffer of [keyUpdate, divergent]) {
      const material = newMaterial(this.#config, this.#material, peerOffer, this.#offer);
      const offers = { ownOffer: this.#offer, peerOffer };
      const fresh = NewContext.derive(this.#config, material, offers);
      const opened = open(fresh.context, fresh.window, incoming, option);
      if (!isRefused(opened)) return confirmed(opened, fresh);
      refusal = opened;
    }
    return refusal;
  }

  #spend(): void {
    refuseSpent(this.#spent);
    this.#spent = true;
  }
}

/**
 * Both nonces are known and we use the new context; whether the peer has it we do not know yet (§4.3.5).
 * `fresh` must be stored, and numbers reserved from its sequence, before anything is sent.
 */
export class KudosPending {
  readonly fresh: NewContext;
  readonly #config: KudosConfig;
  readonly #run: Run;
  #spent = false;

  constructor(config: KudosConfig, run: Run, fresh: NewContext) {
    this.#config = config;
    this.#run = run;
    this.fresh = fresh;
  }

  /** After a restart: `kept` is what was stored of the new context beside the state. */
  static restore(config: KudosConfig, state: KudosPendingState, kept: KeptState): KudosPending {
    const { old, ownOffer, peerOffer, earlierOffers, temporaryWindow } = state;
    const context = temporaryContext(config, old, peerOffer);
    const window = ReplayWindow.restore(temporaryWindow);
    const material = newMaterial(config, old, ownOffer, peerOffer);
    const fresh = NewContext.derive(config, material, { ownOffer, peerOffer }, kept);
    return new KudosPending(config, { old, context, window, earlierOffers }, fresh);
  }

  /** For sealed storage, together with the record of `fresh`; to be stored before anything is sent. */
  state(): KudosPendingState {
    const { old, window, earlierOffers } = this.#run;
    const { ownOffer, peerOffer } = this.fresh;
    return { old, ownOffer, peerOffer, earlierOffers, temporaryWindow: window.state() };
  }

  protectRequest<Message extends CoapContent>(
    request: Message,
  ): ProtectedRequest<Message> | OscoreRefusal {
    const { sequence, ownOffer } = this.fresh;
    return protectRequestWith(sequence, { ...ownOffer, convergent: true }, request);
  }

  protectResponse<Message extends CoapContent>(
    exchange: ServerExchange,
    response: Message,
  ): Message | OscoreRefusal {
    const { sequence, ownOffer } = this.fresh;
    return protectResponseWith(sequence, { ...ownOffer, convergent: true }, exchange, response);
  }

  /** Convergent messages and ordinary ones under the new context confirm it; divergent ones start again. */
  receive<Message extends CoapContent>(
    incoming: KudosIncoming<Message>,
  ): KudosReceived<Message, KudosConfirmed | KudosPending> | OscoreRefusal {
    refuseSpent(this.#spent);
    const option = readProtected(incoming.message);
    if (isRefused(option)) return option;
    const received =
      hasKeyUpdate(option) && !option.keyUpdate.convergent
        ? this.#receiveDivergent(incoming, option)
        : this.#receiveConfirmation(incoming, option);
    if (!isRefused(received)) this.#spent = true;
    return received;
  }

  #receiveConfirmation<Message extends CoapContent>(
    incoming: KudosIncoming<Message>,
    option: OscoreOption,
  ): KudosReceived<Message, KudosConfirmed> | OscoreRefusal {
    const opened = open(this.fresh.context, this.fresh.window, incoming, option);
    return isRefused(opened) ? opened : confirmed(opened, this.fresh);
  }

  #receiveDivergent<Message extends CoapContent>(
    incoming: KudosIncoming<Message>,
    option: KeyUpdateOption,
  ): KudosReceived<Message, KudosPending> | OscoreRefusal {
    const run = this.#run;
    const { peerOffer } = this.fresh;
    if (sameOffer(option.keyUpdate, peerOffer)) {
      // §4.3.6: the message that brought us here, or another with the same nonce. We stay.
      const opened = open(run.context, run.window, incoming, option);
      if (isRefused(opened)) return opened;
      const { window } = opened;
      return result(opened, new KudosPending(this.#config, { ...run, window }, this.fresh));
    }
    // A divergent message may carry a request. One of an earlier nonce was acted on when it came, and its
    // temporary context, derived again, would not remember that.
    if (run.earlierOffers.some((offer) => sameOffer(offer, option.keyUpdate))) {
      return refuse('replay');
    }
    const earlierOffers = [...run.earlierOffers, peerOffer];
    if (earlierOffers.length <= maximumOffers) {
      const { old } = run;
      const again = receiveDivergent(this.#config, old, incoming, option, { earlierOffers });
      if (!isRefused(again) || again.refused !== 'decryption-failed') return again;
    }
    // The peer knows that we have the new context, and starts the next run from it.
    return receiveDivergent(this.#config, this.fresh.material, incoming, option);
  }
}

/** The run is over: both have the new context, the old one and the nonces are of no use any more. */
export class KudosConfirmed {
  readonly fresh: NewContext;

  constructor(fresh: NewContext) {
    this.fresh = fresh;
  }

  /** The state to go on with; what was learnt about the peer goes into its configuration. */
  idle(config: KudosConfig): KudosIdle {
    return new KudosIdle(config, this.fresh.material);
  }
}

/** What a pending run needs after a restart. The material is secret. */
export interface KudosPendingState {
  readonly old: ContextMaterial;
  readonly ownOffer: Offer;
  readonly peerOffer: Offer;
  readonly earlierOffers: readonly Offer[];
  readonly temporaryWindow: ReplayWindowState;
}

/** What a run started from, and what it takes to recognize the peer's divergent messages. */
interface Run {
  readonly old: ContextMaterial;
  /** CTX_TEMP of the peer's offer. */
  readonly context: SecurityContext;
  readonly window: ReplayWindow;
  /** Those of the peer under the same old context, before the present one. */
  readonly earlierOffers: readonly Offer[];
}

/** Nonces that a peer may try from one old context before only a new handshake helps. */
const maximumOffers = 16;

type KeyUpdateOption = OscoreOption & { readonly keyUpdate: KeyUpdateField };

interface Opened<Message extends CoapContent> {
  readonly message: Message;
  readonly exchange?: ServerExchange;
  readonly window: ReplayWindow;
}

/** §4.3.4: a divergent message is answered from PENDING, with a pair of ours and the new context. */
function receiveDivergent<Message extends CoapContent>(
  config: KudosConfig,
  material: ContextMaterial,
  incoming: KudosIncoming<Message>,
  option: KeyUpdateOption,
  known: { readonly offered?: Offer; readonly earlierOffers?: readonly Offer[] } = {},
): KudosReceived<Message, KudosPending> | OscoreRefusal {
  const peerOffer = kept(option.keyUpdate);
  if (!acceptsMode(config, peerOffer)) return refuse('unexpected-key-update');
  const context = temporaryContext(config, material, peerOffer);
  const opened = open(context, ReplayWindow.empty(), incoming, option);
  if (isRefused(opened)) return opened;
  // A pair is bound to the context it was made for; the other mode has another one.
  const mode = asksNoForwardSecrecy(config, peerOffer);
  const { offered, earlierOffers = [] } = known;
  const ownOffer =
    offered?.noForwardSecrecy === mode ? offered : makeOffer(config, true, peerOffer);
  const updated = newMaterial(config, material, ownOffer, peerOffer);
  const fresh = NewContext.derive(config, updated, { ownOffer, peerOffer });
  const run = { old: material, context, window: opened.window, earlierOffers };
  return result(opened, new KudosPending(config, run, fresh));
}

/** The nonce is a view of the datagram; an offer lasts longer. */
function kept(field: KeyUpdateField): Offer {
  return { ...field, nonce: field.nonce.slice() };
}

function refuseSpent(isSpent: boolean): void {
  if (isSpent) throw new TypeError('this KUDOS state was left before');
}

function open<Message extends CoapContent>(
  context: SecurityContext,
  window: ReplayWindow,
  incoming: KudosIncoming<Message>,
  option: OscoreOption,
): Opened<Message> | OscoreRefusal {
  const { partialIv, kid } = option;
  if (incoming.kind === 'response') {
    const opened = openResponse(incoming.exchange, incoming.message, context, partialIv);
    return isRefused(opened) ? opened : { message: opened.message, window };
  }
  if (kid === undefined || partialIv === undefined) return refuse('malformed');
  if (!equal(kid, context.recipientId)) return refuse('unknown-context');
  const opened = openRequest(context, window, incoming.message, partialIv);
  if (isRefused(opened)) return opened;
  // The windows of KUDOS are new and never lost.
  return opened.outcome === 'accepted' ? opened : refuse('malformed');
}

function result<Message extends CoapContent, Next>(
  { message, exchange }: Opened<Message>,
  next: Next,
): KudosReceived<Message, Next> {
  return exchange === undefined ? { message, next } : { message, exchange, next };
}

function confirmed<Message extends CoapContent>(
  opened: Opened<Message>,
  fresh: NewContext,
): KudosReceived<Message, KudosConfirmed> {
  return result(opened, new KudosConfirmed(fresh.withWindow(opened.window)));
}

function readKeyUpdate<Message extends CoapContent>(
  incoming: KudosIncoming<Message>,
): KeyUpdateOption | OscoreRefusal {
  const option = readProtected(incoming.message);
  if (isRefused(option)) return option;
  return hasKeyUpdate(option) ? option : refuse('unexpected-key-update');
}

function hasKeyUpdate(option: OscoreOption): option is KeyUpdateOption {
  return option.keyUpdate !== undefined;
}

function protectRequestWith<Message extends CoapContent>(
  sequence: SenderSequence,
  keyUpdate: KeyUpdateField,
  request: Message,
): ProtectedRequest<Message> | OscoreRefusal {
  const number = sequence.take();
  return isRefused(number) ? number : protectRequest(request, number, { keyUpdate });
}

function protectResponseWith<Message extends CoapContent>(
  sequence: SenderSequence,
  keyUpdate: KeyUpdateField,
  exchange: ServerExchange,
  response: Message,
): Message | OscoreRefusal {
  const number = sequence.take();
  return isRefused(number) ? number : protectResponse(exchange, response, number, keyUpdate);
}
