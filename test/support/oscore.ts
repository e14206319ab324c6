/** What the OSCORE tests share: a pair of contexts and outcomes without the refusals. */
import assert from 'node:assert/strict';
import { nodeCrypto } from '../../src/drivers/keys/software/nodeCrypto.ts';
import type { AeadAlgorithm } from '../../src/wire/crypto/crypto.ts';
import {
  type ContextParameters,
  deriveContext,
  type SecurityContext,
} from '../../src/wire/oscore/context.ts';
import { isRefused, type OscoreRefusalCode } from '../../src/wire/oscore/refusal.ts';
import { type SequenceNumber, SenderSequence } from '../../src/wire/oscore/sequence.ts';

/** The result, when it is not a refusal. */
export function granted<Outcome extends object>(
  outcome: Outcome,
): Exclude<Outcome, { readonly refused: string }> {
  if (isRefused(outcome)) assert.fail(outcome.reason);
  return outcome as Exclude<Outcome, { readonly refused: string }>;
}

/** The code of a refusal. */
export function refusalOf(outcome: object): OscoreRefusalCode {
  assert.ok(isRefused(outcome), 'a refusal was expected');
  return outcome.refused;
}

export function numberOf(context: SecurityContext, value: number): SequenceNumber {
  const sequence = new SenderSequence(context, value);
  sequence.confirm(value + 1);
  return granted(sequence.take());
}

export interface Pair {
  readonly client: SecurityContext;
  readonly server: SecurityContext;
}

export function contextPair(
  overrides: Partial<ContextParameters> & { readonly aead?: AeadAlgorithm } = {},
): Pair {
  const common = {
    crypto: nodeCrypto,
    masterSecret: new Uint8Array(16).fill(0x2a),
    masterSalt: new Uint8Array(8).fill(0x07),
    ...overrides,
  };
  const clientId = Uint8Array.of(0x0c);
  const serverId = Uint8Array.of(0x05);
  return {
    client: deriveContext({ ...common, senderId: clientId, recipientId: serverId }),
    server: deriveContext({ ...common, senderId: serverId, recipientId: clientId }),
  };
}
