/** CTX_NEW of a KUDOS run, with all that changes while it is used. */
import { deriveContext, type SecurityContext } from './context.ts';
import type { ContextMaterial } from './contextUpdate.ts';
import type { KudosConfig, Offer } from './kudosOffer.ts';
import { unused } from './limits.ts';
import type { ContextRecord } from './record.ts';
import { ReplayWindow } from './replayWindow.ts';
import { SenderSequence } from './sequence.ts';

/** What storage keeps of a context beside its material. */
export type KeptState = Pick<ContextRecord, 'sequenceEnd' | 'window' | 'usage'>;

interface Fields {
  readonly context: SecurityContext;
  readonly sequence: SenderSequence;
  readonly window: ReplayWindow;
  readonly ownOffer: Offer;
  readonly peerOffer: Offer;
  readonly material: ContextMaterial;
}

export class NewContext {
  readonly context: SecurityContext;
  readonly sequence: SenderSequence;
  readonly window: ReplayWindow;
  readonly ownOffer: Offer;
  readonly peerOffer: Offer;
  readonly #fields: Fields;

  private constructor(fields: Fields) {
    this.#fields = fields;
    this.context = fields.context;
    this.sequence = fields.sequence;
    this.window = fields.window;
    this.ownOffer = fields.ownOffer;
    this.peerOffer = fields.peerOffer;
  }

  /** `kept` when it was derived before a restart. Its sequence gives no number before a reservation. */
  static derive(
    config: KudosConfig,
    material: ContextMaterial,
    offers: Pick<Fields, 'ownOffer' | 'peerOffer'>,
    kept?: KeptState,
  ): NewContext {
    const usage = kept?.usage ?? unused;
    const context = deriveContext({ ...material, crypto: config.crypto, usage });
    const end = kept?.sequenceEnd ?? firstNumber(config, offers);
    const sequence = new SenderSequence(context, end);
    return new NewContext({ ...offers, material, context, sequence, window: windowOf(kept) });
  }

  /** For sealed storage. */
  get material(): ContextMaterial {
    return this.#fields.material;
  }

  /** Whether both sides wish observations to go on (§4.5.1). */
  get preservesObservations(): boolean {
    return preserves(this);
  }

  /** Whether no message asked for the mode without forward secrecy (§4.4.2). */
  get hasForwardSecrecy(): boolean {
    return !this.ownOffer.noForwardSecrecy && !this.peerOffer.noForwardSecrecy;
  }

  /** The same after a request was accepted. */
  withWindow(window: ReplayWindow): NewContext {
    return new NewContext({ ...this.#fields, window });
  }
}

/** §4.5.1 step 4: beyond the numbers that registrations of running observations occupy. */
function firstNumber(
  { highestRegistration }: KudosConfig,
  offers: Pick<Fields, 'ownOffer' | 'peerOffer'>,
): number {
  return highestRegistration !== undefined && preserves(offers) ? highestRegistration + 1 : 0;
}

function preserves({ ownOffer, peerOffer }: Pick<Fields, 'ownOffer' | 'peerOffer'>): boolean {
  return ownOffer.preserveObservations && peerOffer.preserveObservations;
}

function windowOf(kept: KeptState | undefined): ReplayWindow {
  if (kept === undefined) return ReplayWindow.empty();
  return kept.window === undefined ? ReplayWindow.lost() : ReplayWindow.restore(kept.window);
}
