/**
 * All that has to be kept of a context across restarts, as one CBOR item. It holds the Master Secret, for
 * keys are derived again and never stored: whoever stores a record seals it.
 */
import { MalformedError, UnsupportedError } from '../bytes/malformed.ts';
import { CborReader } from '../cbor/reader.ts';
import * as cbor from '../cbor/writer.ts';
import {
  aeadAlgorithmNumbers,
  aeadAlgorithmOf,
  hashAlgorithmNumbers,
  hashAlgorithmOf,
} from '../cose/algorithms.ts';
import type { AeadAlgorithm, Crypto } from '../crypto/crypto.ts';
import { deriveContext, type OscoreHkdf, type SecurityContext } from './context.ts';
import type { KeyUsage } from './limits.ts';
import { ReplayWindow, type ReplayWindowState } from './replayWindow.ts';
import { SenderSequence } from './sequence.ts';

export interface ContextRecord {
  readonly masterSecret: Uint8Array;
  readonly masterSalt: Uint8Array;
  readonly senderId: Uint8Array;
  readonly recipientId: Uint8Array;
  readonly idContext?: Uint8Array;
  readonly aead: AeadAlgorithm;
  readonly hkdf: OscoreHkdf;
  /** End of the range of sequence numbers that is reserved; 0 for a new context. */
  readonly sequenceEnd: number;
  /** `undefined` when the window may be older than what was accepted: it has to be synchronized. */
  readonly window: ReplayWindowState | undefined;
  readonly usage: KeyUsage;
}

export interface RestoredContext {
  readonly context: SecurityContext;
  /** Gives no number before a new range was reserved (RFC 8613 §B.1.1). */
  readonly sequence: SenderSequence;
  readonly window: ReplayWindow;
}

export function restoreContext(crypto: Crypto, record: ContextRecord): RestoredContext {
  const context = deriveContext({ ...record, crypto });
  const window =
    record.window === undefined ? ReplayWindow.lost() : ReplayWindow.restore(record.window);
  return { context, sequence: new SenderSequence(context, record.sequenceEnd), window };
}

export function encodeRecord(record: ContextRecord): Uint8Array {
  const { idContext, window, usage } = record;
  return cbor.array(
    cbor.integer(recordVersion),
    cbor.bytes(record.masterSecret),
    cbor.bytes(record.masterSalt),
    cbor.bytes(record.senderId),
    cbor.bytes(record.recipientId),
    idContext === undefined ? cbor.nullItem : cbor.bytes(idContext),
    cbor.integer(aeadAlgorithmNumbers[record.aead]),
    cbor.integer(hashAlgorithmNumbers[record.hkdf]),
    cbor.integer(record.sequenceEnd),
    window === undefined
      ? cbor.nullItem
      : cbor.array(cbor.integer(window.next), cbor.bytes(window.seen)),
    cbor.array(cbor.integer(usage.encryptions), cbor.integer(usage.failedVerifications)),
  );
}

/** Throws a `MalformedError`, or an `UnsupportedError` for a record of a later version. */
export function parseRecord(bytes: Uint8Array): ContextRecord {
  const reader = new CborReader(bytes);
  const count = reader.array();
  const version = reader.unsigned();
  if (version !== recordVersion) throw new UnsupportedError('oscore record', `version ${version}`);
  if (count !== recordMembers) reader.fail(`a record has ${recordMembers} members`, 0);
  const masterSecret = reader.bytes();
  const masterSalt = reader.bytes();
  const senderId = reader.bytes();
  const recipientId = reader.bytes();
  const idContext = reader.takeNull() ? undefined : reader.bytes();
  const aead = aeadAlgorithmOf(reader.integer()) ?? reader.fail('AEAD algorithm unknown');
  const hkdf = hkdfOf(reader.integer()) ?? reader.fail('HKDF algorithm unknown');
  const sequenceEnd = reader.unsigned();
  const window = reader.takeNull() ? undefined : readWindow(reader);
  if (reader.array() !== 2) reader.fail('two counts expected');
  const usage = { encryptions: reader.unsigned(), failedVerifications: reader.unsigned() };
  reader.end();
  const common = { masterSecret, masterSalt, senderId, recipientId, aead, hkdf };
  const rest = { sequenceEnd, window, usage };
  return idContext === undefined ? { ...common, ...rest } : { ...common, idContext, ...rest };
}

const recordVersion = 1;
const recordMembers = 11;

function hkdfOf(number: number): OscoreHkdf | undefined {
  const hash = hashAlgorithmOf(number);
  return hash === 'SHA-1' || hash === 'SHA-256/64' ? undefined : hash;
}

function readWindow(reader: CborReader): ReplayWindowState {
  const start = reader.offset;
  if (reader.array() !== 2) reader.fail('next and seen expected', start);
  const next = reader.unsigned();
  const seen = reader.bytes();
  if (seen.length === 0 || seen.length > 512) {
    throw new MalformedError('oscore record', start, 'window size out of range');
  }
  return { next, seen };
}
