/**
 * The keys of a session: those of its handshake, of an epoch after it, or what KUDOS made of them; and what
 * is known of a run of KUDOS that the device has begun.
 */
import { toHex } from '../../wire/bytes/hex.ts';
import { CborReader } from '../../wire/cbor/reader.ts';
import * as cbor from '../../wire/cbor/writer.ts';
import type { Crypto } from '../../wire/crypto/crypto.ts';
import { EdhocSession } from '../../wire/edhoc/session.ts';
import { deriveContext, type SecurityContext } from '../../wire/oscore/context.ts';
import type { ContextMaterial } from '../../wire/oscore/contextUpdate.ts';
import type { KudosPending, KudosPendingState } from '../../wire/oscore/kudos.ts';
import type { NewContext } from '../../wire/oscore/kudosContext.ts';
import type { KudosConfig } from '../../wire/oscore/kudosOffer.ts';
import {
  restoreMaterial,
  restorePending,
  storeMaterial,
  storePending,
} from '../../wire/oscore/kudosStored.ts';
import { type KeyUsage, unused } from '../../wire/oscore/limits.ts';
import { epochContext } from '../../wire/relay/rawLink.ts';

/** What keys were used for before they were read from the store. */
interface Used {
  readonly usage: KeyUsage;
  /** What failed to verify under the next epoch. */
  readonly nextFailures: number;
}

const notUsed: Used = { usage: unused, nextFailures: 0 };

/** The keys of one epoch: those of the handshake, or what EDHOC_KeyUpdate made of them. */
export class EpochKeys {
  readonly kind = 'epoch';
  /** Numbers of messages begin again with other keys: they are told apart by this. */
  readonly id: string;
  readonly edhoc: EdhocSession;
  readonly context: SecurityContext;
  readonly #crypto: Crypto;
  readonly #nextFailuresBefore: number;
  #next: EpochKeys | undefined;

  constructor(
    crypto: Crypto,
    id: string,
    edhoc: EdhocSession,
    { usage, nextFailures }: Used = notUsed,
  ) {
    this.#crypto = crypto;
    this.id = id;
    this.edhoc = edhoc;
    this.context = deriveContext({ ...edhoc.oscoreParameters(), crypto, usage });
    this.#nextFailuresBefore = nextFailures;
  }

  get material(): ContextMaterial {
    return this.edhoc.oscoreParameters();
  }

  /** Derived when first asked for, and then the same, so that what fails to verify under it is counted. */
  get next(): EpochKeys {
    const { edhoc } = this;
    const usage = { encryptions: 0, failedVerifications: this.#nextFailuresBefore };
    const updated = (): EdhocSession => edhoc.keyUpdate(epochContext(edhoc.epoch + 1));
    const used = { usage, nextFailures: 0 };
    this.#next ??= new EpochKeys(this.#crypto, newId(this.#crypto), updated(), used);
    return this.#next;
  }

  /** What failed to verify under the next epoch. */
  get nextFailures(): number {
    return this.#next?.context.usage.failedVerifications ?? this.#nextFailuresBefore;
  }
}

/** What KUDOS made of the keys before. A device that went this way goes on in it: there is no next epoch. */
export class KudosKeys {
  readonly kind = 'kudos';
  readonly id: string;
  readonly material: ContextMaterial;
  readonly context: SecurityContext;
  readonly nextFailures = 0;

  private constructor(id: string, material: ContextMaterial, context: SecurityContext) {
    this.id = id;
    this.material = material;
    this.context = context;
  }

  static of(crypto: Crypto, { material, context }: NewContext): KudosKeys {
    return new KudosKeys(newId(crypto), material, context);
  }

  static restore(
    crypto: Crypto,
    id: string,
    material: ContextMaterial,
    usage: KeyUsage,
  ): KudosKeys {
    return new KudosKeys(id, material, deriveContext({ ...material, crypto, usage }));
  }
}

export type SessionKeys = EpochKeys | KudosKeys;

/** What the device has said of itself in EAD_3 (draft-ietf-core-oscore-key-update §5). */
export interface KudosSide {
  readonly peer: KudosConfig['peer'];
  /**
   * The keys of the handshake, for the mode without forward secrecy: kept for a device alone that has said
   * that it cannot write.
   */
  readonly bootstrap?: ContextMaterial;
}

/** The sealed part of a session that is written when its keys change. */
export interface KeysPart {
  readonly keys:
    | Pick<EpochKeys, 'kind' | 'id' | 'edhoc'>
    | Pick<KudosKeys, 'kind' | 'id' | 'material'>;
  readonly run: KudosPending | undefined;
  readonly side: KudosSide;
  readonly message3Hash: Uint8Array;
  /** `AttestationPolicy.demandOf` when its evidence was good; absent where none was demanded. */
  readonly attestedUnder?: string | undefined;
}

export function writeKeys({ keys, run, side, message3Hash, attestedUnder }: KeysPart): Uint8Array {
  const { bootstrap } = side;
  return cbor.array(
    cbor.text(keys.id),
    keys.kind === 'epoch' ? cbor.bytes(keys.edhoc.store()) : cbor.nullItem,
    keys.kind === 'kudos' ? cbor.bytes(storeMaterial(keys.material)) : cbor.nullItem,
    cbor.bytes(message3Hash),
    cbor.integer(peers.indexOf(side.peer)),
    bootstrap === undefined ? cbor.nullItem : cbor.bytes(storeMaterial(bootstrap)),
    run === undefined ? cbor.nullItem : cbor.bytes(storePending(run.state())),
    ...(attestedUnder === undefined ? [] : [cbor.text(attestedUnder)]),
  );
}

export interface ReadKeys extends Omit<KeysPart, 'keys' | 'run'> {
  readonly keys: (used: Used) => SessionKeys;
  readonly run: KudosPendingState | undefined;
}

/** Throws a `MalformedError` on bytes that `writeKeys` did not give. */
export function readKeys(crypto: Crypto, bytes: Uint8Array): ReadKeys {
  const reader = new CborReader(bytes);
  const members = reader.array();
  if (members < 7 || members > 8) reader.fail('seven or eight members expected', 0);
  const id = reader.text();
  const edhoc = reader.takeNull() ? undefined : EdhocSession.restore(crypto, reader.bytes());
  const material = reader.takeNull() ? undefined : restoreMaterial(reader.bytes());
  const message3Hash = reader.bytes().slice();
  const peer = peers[reader.unsigned()] ?? reader.fail('no side of KUDOS');
  const bootstrap = reader.takeNull() ? undefined : restoreMaterial(reader.bytes());
  const run = reader.takeNull() ? undefined : restorePending(reader.bytes());
  const attestedUnder = members > 7 ? reader.text() : undefined;
  reader.end();
  return {
    keys: (used) => {
      if (edhoc !== undefined) return new EpochKeys(crypto, id, edhoc, used);
      if (material !== undefined) return KudosKeys.restore(crypto, id, material, used.usage);
      return reader.fail('no keys', 0);
    },
    run,
    side: bootstrap === undefined ? { peer } : { peer, bootstrap },
    message3Hash,
    attestedUnder,
  };
}

/** As that of a session; the keys of a handshake have the session's own. */
export function newId(crypto: Crypto): string {
  return toHex(crypto.random(16));
}

const peers: ReadonlyArray<KudosConfig['peer']> = ['unknown', 'capable', 'non-capable'];
