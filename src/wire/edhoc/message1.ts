/** What every responder does with message_1, whatever the method (RFC 9528 §5.2.3, §6.3). */
import type { Crypto, PublicKey } from '../crypto/crypto.ts';
import { type EadItem, unknownCritical } from './ead.ts';
import { type Message1, parseMessage1 } from './messages.ts';
import {
  type EdhocProfile,
  maximumOscoreIdBytes,
  supportedSuites,
  type Terms,
  termsOf,
} from './profile.ts';
import { type EdhocRefusal, refusalOf, refuse } from './refusal.ts';
import * as schedule from './schedule.ts';
import type { Suite } from './suites.ts';

export interface AcceptedMessage1 {
  readonly crypto: Crypto;
  readonly terms: Terms;
  readonly cI: Uint8Array;
  readonly gX: PublicKey;
  readonly ead1: readonly EadItem[];
  readonly hashOfMessage1: Uint8Array;
}

/** The method that the bytes ask for, to choose who answers; `undefined` when they are no message_1. */
export function methodOf(message1: Uint8Array): number | undefined {
  const parsed = tryParse(message1);
  return 'refused' in parsed ? undefined : parsed.method;
}

export function acceptMessage1(
  crypto: Crypto,
  profile: EdhocProfile,
  methods: readonly number[],
  bytes: Uint8Array,
): AcceptedMessage1 | EdhocRefusal {
  const ours = supportedSuites(profile);
  const message = tryParse(bytes);
  if ('refused' in message) return message;
  if (!methods.includes(message.method)) return refuse('unsupported', `method ${message.method}`);
  const suite = negotiate(ours, message);
  if ('refused' in suite) return suite;
  const terms = termsOf(profile, message.method, suite);
  const { cI, ead1 } = message;
  if (terms.oscore && cI.length > maximumOscoreIdBytes(suite)) {
    return refuse('unsupported', 'C_I is too long for OSCORE');
  }
  const critical = unknownCritical(ead1.items, terms.knownEad);
  if (critical !== undefined) return refuse('critical-ead', `EAD item ${critical.label} in EAD_1`);
  // RFC 9528 §3.7: x alone at its full length; other forms of a point that the import knows do not count.
  const gX =
    message.gX.length === suite.publicKeyBytes
      ? crypto.importPublicKey(suite.curve, message.gX)
      : undefined;
  if (gX === undefined) return refuse('invalid-key', 'G_X is no point of the curve');
  const hashOfMessage1 = schedule.hashOfMessage1({ crypto, suite }, bytes);
  return { crypto, terms, cI: cI.slice(), gX, ead1: ead1.items, hashOfMessage1 };
}

/**
 * RFC 9528 §6.3: the selected suite has to be the first in SUITES_I that we support. Otherwise SUITES_R
 * names that one, or all of ours where there is none.
 */
function negotiate(ours: readonly Suite[], message: Message1): Suite | EdhocRefusal {
  const common = message.suites
    .map((number) => ours.find((suite) => suite.number === number))
    .find((suite) => suite !== undefined);
  if (common !== undefined && common.number === message.selectedSuite) return common;
  const suitesR = (common === undefined ? ours : [common]).map(({ number }) => number);
  return refuse('wrong-suite', `suite ${message.selectedSuite} was selected`, { suitesR });
}

function tryParse(bytes: Uint8Array): Message1 | EdhocRefusal {
  try {
    return parseMessage1(bytes);
  } catch (error) {
    return refusalOf(error);
  }
}
