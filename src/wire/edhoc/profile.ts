/** What an application fixes for its handshakes before the first message (RFC 9528 §3.9). */
import type { CborReader } from '../cbor/reader.ts';
import * as cbor from '../cbor/writer.ts';
import { aeadParameters } from '../crypto/crypto.ts';
import { maximumSuites } from './messages.ts';
import { type Method, suiteOf, type Suite } from './suites.ts';

export interface EdhocProfile {
  /** Numbers of the suites that we support; the initiator's in order of preference. */
  readonly suites: readonly number[];
  /**
   * Whether message_4 ends the handshake. Without it the initiator waits for a message that the responder
   * protects with an exported key.
   */
  readonly message4: boolean;
  /**
   * Whether the connection identifiers become OSCORE identifiers, which have to differ and have at most
   * 7 bytes (RFC 9528 §3.3.3). Default: yes.
   */
  readonly oscore?: boolean;
  /** Labels of EAD items that the caller processes; others must not be critical. Default: none. */
  readonly knownEad?: readonly number[];
}

export interface InitiatorProfile extends EdhocProfile {
  readonly method: Method;
  /** The suite to select, after an error that named the responder's. Default: the most preferred. */
  readonly selectedSuite?: number;
}

export interface ResponderProfile extends EdhocProfile {
  /** Methods that we accept. */
  readonly methods: readonly Method[];
}

/** What holds for one handshake from its message_1 on. */
export interface Terms {
  readonly method: number;
  readonly suite: Suite;
  readonly message4: boolean;
  readonly oscore: boolean;
  readonly knownEad: readonly number[];
}

export function termsOf(profile: EdhocProfile, method: number, suite: Suite): Terms {
  return {
    method,
    suite,
    message4: profile.message4,
    oscore: profile.oscore ?? true,
    knownEad: profile.knownEad ?? [],
  };
}

/** RFC 8613 §3.3: the length of the nonce minus 6. */
export function maximumOscoreIdBytes(suite: Suite): number {
  return aeadParameters[suite.applicationAead].nonceBytes - 6;
}

/** The suites of a caller, checked. */
export function supportedSuites(profile: EdhocProfile): readonly Suite[] {
  if (profile.suites.length === 0 || profile.suites.length > maximumSuites) {
    throw new TypeError(`a profile has 1 to ${maximumSuites} suites`);
  }
  return profile.suites.map(suiteOf);
}

/** Refuses an identifier of our own that OSCORE could not use. */
export function checkOwnConnectionId(connectionId: Uint8Array, terms: Terms): void {
  const limit = maximumOscoreIdBytes(terms.suite);
  if (terms.oscore && connectionId.length > limit) {
    throw new TypeError(`OSCORE identifier above ${limit} bytes`);
  }
}

export function storeTerms(terms: Terms): Uint8Array {
  return cbor.array(
    cbor.integer(terms.method),
    cbor.integer(terms.suite.number),
    cbor.boolean(terms.message4),
    cbor.boolean(terms.oscore),
    cbor.array(...terms.knownEad.map(cbor.integer)),
  );
}

export function restoreTerms(reader: CborReader): Terms {
  if (reader.array() !== 5) reader.fail('terms of five members expected');
  return {
    method: reader.integer(),
    suite: suiteOf(reader.integer()),
    message4: reader.boolean(),
    oscore: reader.boolean(),
    knownEad: Array.from({ length: reader.array() }, () => reader.unsigned()),
  };
}
