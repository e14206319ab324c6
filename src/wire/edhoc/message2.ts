/** The ephemeral key exchange and the keystream of message_2, which all methods share (RFC 9528 §5.3). */
import { equal } from '../bytes/bytes.ts';
import type { EphemeralKey, PublicKey, Secret } from '../crypto/crypto.ts';
import { type EadField, unknownCritical } from './ead.ts';
import type { AcceptedMessage1, SentMessage1 } from './message1.ts';
import { encodeMessage2, parseMessage2 } from './messages.ts';
import { checkOwnConnectionId, maximumOscoreIdBytes, type Terms } from './profile.ts';
import { type EdhocRefusal, refuse } from './refusal.ts';
import * as schedule from './schedule.ts';

/** What both sides know once G_X and G_Y met. */
export interface KeyedMessage2 {
  readonly algorithms: schedule.Algorithms;
  readonly th2: Uint8Array;
  readonly prk2e: Secret;
}

/** The responder's share. `undefined` when G_X is a point of low order. */
export function keyMessage2(
  accepted: AcceptedMessage1,
): (KeyedMessage2 & { readonly ephemeral: EphemeralKey }) | undefined {
  const { crypto, terms, gX, hashOfMessage1 } = accepted;
  const algorithms = { crypto, suite: terms.suite };
  const ephemeral = crypto.generateKeyPair(terms.suite.curve);
  const gXY = crypto.agree(ephemeral, gX);
  if (gXY === undefined) return undefined;
  const th2 = schedule.th2(algorithms, ephemeral.publicKey, hashOfMessage1);
  return { algorithms, th2, prk2e: schedule.prk2e(algorithms, th2, gXY), ephemeral };
}

export function encryptMessage2(
  { algorithms, th2, prk2e }: KeyedMessage2,
  gY: Uint8Array,
  plaintext2: Uint8Array,
): Uint8Array {
  const keystream = schedule.keystream2(algorithms, prk2e, th2, plaintext2.length);
  return encodeMessage2(gY, schedule.xor(plaintext2, keystream));
}

/** The initiator's share. Whatever the bytes were, some plaintext comes out: it proves nothing. */
export function decryptMessage2(
  { crypto, terms, ephemeral, hashOfMessage1 }: SentMessage1,
  bytes: Uint8Array,
): (KeyedMessage2 & { readonly gY: PublicKey; readonly plaintext2: Uint8Array }) | EdhocRefusal {
  const { suite } = terms;
  const algorithms = { crypto, suite };
  const { gY: gYBytes, ciphertext2 } = parseMessage2(bytes, suite.publicKeyBytes);
  if (equal(gYBytes, ephemeral.publicKey)) return refuse('invalid-key', 'G_Y is our own G_X');
  const gY = crypto.importPublicKey(suite.curve, gYBytes);
  const gXY = gY === undefined ? undefined : crypto.agree(ephemeral, gY);
  if (gY === undefined || gXY === undefined) return refuse('invalid-key', 'G_Y is no valid point');
  const th2 = schedule.th2(algorithms, gYBytes, hashOfMessage1);
  const prk2e = schedule.prk2e(algorithms, th2, gXY);
  const keystream = schedule.keystream2(algorithms, prk2e, th2, ciphertext2.length);
  return { algorithms, th2, prk2e, gY, plaintext2: schedule.xor(ciphertext2, keystream) };
}

/** What the initiator can judge of C_R and EAD_2 before any authentication. */
export function refuseMessage2(
  { terms, cI }: SentMessage1,
  cR: Uint8Array,
  ead2: EadField,
): EdhocRefusal | undefined {
  const critical = unknownCritical(ead2.items, terms.knownEad);
  if (critical !== undefined) return refuse('critical-ead', `EAD item ${critical.label} in EAD_2`);
  if (!terms.oscore) return undefined;
  // RFC 9668 §4.1.3: two equal identifiers would be one OSCORE Sender ID for both sides.
  if (equal(cR, cI)) return refuse('same-identifiers', 'C_R equals C_I');
  if (cR.length <= maximumOscoreIdBytes(terms.suite)) return undefined;
  return refuse('unsupported', 'C_R is too long for OSCORE');
}

/** The caller's choice of C_R. Throws a `TypeError` when OSCORE could not use it. */
export function checkResponderId(terms: Terms, cI: Uint8Array, cR: Uint8Array): void {
  checkOwnConnectionId(cR, terms);
  if (terms.oscore && equal(cI, cR)) throw new TypeError('C_R equals C_I');
}
