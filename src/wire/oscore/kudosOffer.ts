/** What the two sides of a KUDOS run contribute: the pair (X, nonce) of each, and the contexts they give. */
import { concat, equal } from '../bytes/bytes.ts';
import type { Crypto } from '../crypto/crypto.ts';
import { deriveContext, type SecurityContext } from './context.ts';
import { type ContextMaterial, updateContext } from './contextUpdate.ts';
import { encodeX, type KeyUpdateField } from './option.ts';

export interface KudosConfig {
  readonly crypto: Crypto;
  /** 1 to 16; 8 is recommended (§4.3.1). Default: 8. */
  readonly nonceBytes?: number;
  /** Whether this side can write to memory that survives a restart (CAPABLE, §4.4.1). */
  readonly isCapable: boolean;
  /** What is known of the peer; once known it must be remembered (§4.4.2). */
  readonly peer: 'unknown' | 'capable' | 'non-capable';
  /** Installed at birth, for the mode without forward secrecy. */
  readonly bootstrap?: ContextMaterial;
  /** Whether observations should go on beyond the update (§4.5). */
  readonly preserveObservations: boolean;
  /** PIV* of §4.5.1: the highest Partial IV of a registration of ours that is still observed. */
  readonly highestRegistration?: number;
}

/** A pair (X, nonce) as it was first offered: this form goes into every derivation of the run. */
export type Offer = KeyUpdateField;

/** §4.4.2: whether a message of ours asks for the mode without forward secrecy. */
export function asksNoForwardSecrecy(config: KudosConfig, received?: KeyUpdateField): boolean {
  if (config.bootstrap === undefined) return false;
  if (!config.isCapable || config.peer === 'non-capable') return true;
  return received?.noForwardSecrecy === true && config.peer === 'unknown';
}

/**
 * §4.4.2: between two that can write durably the mode without forward secrecy must not be run, or an
 * attacker could talk both out of it; without bootstrap material it cannot be run.
 */
export function acceptsMode(config: KudosConfig, received: KeyUpdateField): boolean {
  if (!received.noForwardSecrecy) return true;
  return config.bootstrap !== undefined && !(config.isCapable && config.peer === 'capable');
}

export function makeOffer(
  config: KudosConfig,
  convergent: boolean,
  received?: KeyUpdateField,
): Offer {
  return {
    convergent,
    // §4.5.1: who was told 0 answers 0.
    preserveObservations: config.preserveObservations && received?.preserveObservations !== false,
    noForwardSecrecy: asksNoForwardSecrecy(config, received),
    nonce: config.crypto.random(config.nonceBytes ?? 8),
  };
}

/** CTX_TEMP: of the side that offered. */
export function temporaryContext(
  config: KudosConfig,
  material: ContextMaterial,
  offer: Offer,
): SecurityContext {
  const { crypto } = config;
  const base = inputMaterial(config, material, offer);
  const temporary = updateContext(crypto, base, offerInput(offer), new Uint8Array(0));
  return deriveContext({ ...temporary, crypto });
}

/** CTX_NEW; `carrier` is the offer in the convergent message, which decides the mode (§4.4.2). */
export function newMaterial(
  config: KudosConfig,
  material: ContextMaterial,
  carrier: Offer,
  other: Offer,
): ContextMaterial {
  const base = inputMaterial(config, material, carrier);
  return updateContext(config.crypto, base, offerInput(carrier), offerInput(other));
}

export function sameOffer(left: Offer, right: Offer): boolean {
  return encodeX(left) === encodeX(right) && equal(left.nonce, right.nonce);
}

function inputMaterial(
  config: KudosConfig,
  material: ContextMaterial,
  offer: Offer,
): ContextMaterial {
  return offer.noForwardSecrecy ? (config.bootstrap ?? material) : material;
}

function offerInput(offer: Offer): Uint8Array {
  return concat(Uint8Array.of(encodeX(offer)), offer.nonce);
}
