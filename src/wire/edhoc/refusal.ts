/**
 * What a step answers when it does not go on: an expected no, by code, for the caller; and the EDHOC error
 * message for the peer, which tells less (RFC 9528 §6).
 */
import { MalformedError, UnsupportedError } from '../bytes/malformed.ts';
import { CborReader } from '../cbor/reader.ts';
import * as cbor from '../cbor/writer.ts';
import { encodeSuites, readSuites, startsWithInteger } from './messages.ts';

/**
 * - `malformed`: not the CDDL of the expected message, or not deterministic CBOR.
 * - `unsupported`: correct, and asks for what is not offered: a method, an identifier too long for OSCORE.
 * - `wrong-suite`: the selected suite is not the one that both prefer; answered with SUITES_R.
 * - `critical-ead`: a critical EAD item that is not known, or that the caller could not process.
 * - `invalid-key`: an ephemeral key that is no point of its curve, of low order, the wrong length, a
 *   long-term key, or our own.
 * - `unsuitable-credential`: the authentication key does not fit method and suite.
 * - `own-identity`: the peer authenticates as ourselves.
 * - `same-identifiers`: C_I and C_R would be one OSCORE identifier.
 * - `not-authentic`: a tag, MAC or signature is wrong.
 * - `unknown-credential`: the caller found no credential for the reference, or none it trusts.
 * - `exhausted`: too many messages or candidates were refused; the state is spent.
 * - `peer-error`: the message was an error message. It is not authenticated.
 */
export type EdhocRefusalCode =
  | 'malformed'
  | 'unsupported'
  | 'wrong-suite'
  | 'critical-ead'
  | 'invalid-key'
  | 'unsuitable-credential'
  | 'own-identity'
  | 'same-identifiers'
  | 'not-authentic'
  | 'unknown-credential'
  | 'exhausted'
  | 'peer-error';

/** The state that gave it is unchanged and goes on waiting, unless the code is `exhausted`. */
export interface EdhocRefusal {
  readonly kind: 'refusal';
  readonly refused: EdhocRefusalCode;
  /** For our own log: names no secret, and is not what the peer is told. */
  readonly reason: string;
  /** With `wrong-suite`: SUITES_R, the suites that we offer. */
  readonly suitesR?: readonly number[];
  /** With `peer-error`. */
  readonly peerError?: EdhocError;
}

/** An error message (RFC 9528 §6). Codes that we do not know keep their ERR_INFO as an encoded item. */
export type EdhocError =
  | { readonly code: 1; readonly diagnostic: string }
  | { readonly code: 2; readonly suitesR: readonly number[] }
  | { readonly code: 3 }
  | { readonly code: number; readonly info: Uint8Array };

/** Our limit for a diagnostic text that is logged, in characters. */
export const maximumDiagnosticLength = 256;

export function refuse(
  refused: EdhocRefusalCode,
  reason: string,
  more: { readonly suitesR?: readonly number[]; readonly peerError?: EdhocError } = {},
): EdhocRefusal {
  return { kind: 'refusal', refused, reason, ...more };
}

export function isEdhocRefusal(outcome: object): outcome is EdhocRefusal {
  return 'refused' in outcome;
}

/**
 * The answer to a message_1 that was refused, and what `abort` of a state gives. `undefined` where nothing
 * may be sent: an error message is never answered (RFC 9528 §6.1).
 */
export function errorMessageFor(refusal: EdhocRefusal): Uint8Array | undefined {
  switch (refusal.refused) {
    case 'peer-error':
      return undefined;
    case 'wrong-suite':
      return encodeError({ code: 2, suitesR: refusal.suitesR ?? [] });
    case 'unknown-credential':
      return encodeError({ code: 3 });
    case 'malformed':
    case 'unsupported':
    case 'critical-ead':
    case 'invalid-key':
    case 'unsuitable-credential':
    case 'own-identity':
    case 'same-identifiers':
    case 'not-authentic':
    case 'exhausted':
      // One text for all: which check failed is nobody's business who has not authenticated.
      return encodeError({ code: 1, diagnostic: 'refused' });
  }
}

export function encodeError(error: EdhocError): Uint8Array {
  const code = cbor.integer(error.code);
  if ('diagnostic' in error) return cbor.sequence(code, cbor.text(error.diagnostic));
  if ('suitesR' in error) return cbor.sequence(code, encodeSuites(error.suitesR));
  if ('info' in error) return cbor.sequence(code, error.info);
  return cbor.sequence(code, cbor.trueItem);
}

/** Throws a `MalformedError`. Code 0 should not travel; who sends it all the same is not answered (§6.1). */
export function parseError(bytes: Uint8Array): EdhocError {
  const reader = new CborReader(bytes);
  const code = reader.integer();
  const error = readInfo(reader, code);
  reader.end();
  return error;
}

/**
 * Runs a step on a peer's bytes. An error message and bytes that cannot be read become refusals: RFC 9528
 * §5.1 has every failure answered alike, so that no caller has to tell thrown from returned ones.
 */
export function reading<Step extends object>(
  bytes: Uint8Array,
  step: () => Step | EdhocRefusal,
): Step | EdhocRefusal {
  try {
    if (startsWithInteger(bytes)) {
      const peerError = parseError(bytes);
      return refuse('peer-error', `the peer sent error ${peerError.code}`, { peerError });
    }
    return step();
  } catch (error) {
    return refusalOf(error);
  }
}

/** Rethrows what is not the peer's fault. */
export function refusalOf(error: unknown): EdhocRefusal {
  if (error instanceof MalformedError) return refuse('malformed', error.message);
  if (error instanceof UnsupportedError) return refuse('unsupported', error.message);
  throw error;
}

function readInfo(reader: CborReader, code: number): EdhocError {
  switch (code) {
    case 1: {
      const diagnostic = reader.text();
      return { code, diagnostic: diagnostic.slice(0, maximumDiagnosticLength) };
    }
    case 2:
      return { code, suitesR: readSuites(reader) };
    case 3: {
      const start = reader.offset;
      return reader.boolean() ? { code } : reader.fail('true expected', start);
    }
    default:
      return { code, info: reader.item() };
  }
}
