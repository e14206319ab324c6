/** message_1 on both sides, whatever the method (RFC 9528 §5.2, §6.3). */
import type { CborReader } from '../cbor/reader.ts';
import * as cbor from '../cbor/writer.ts';
import type { Crypto, EphemeralKey, PublicKey } from '../crypto/crypto.ts';
import { encodeEad, type EadItem, unknownCritical } from './ead.ts';
import { encodeMessage1, type Message1, parseMessage1 } from './messages.ts';
import {
  checkOwnConnectionId,
  type EdhocProfile,
  maximumOscoreIdBytes,
  restoreTerms,
  storeTerms,
  supportedSuites,
  type Terms,
  termsOf,
} from './profile.ts';
import { type EdhocRefusal, refusalOf, refuse } from './refusal.ts';
import * as schedule from './schedule.ts';
import type { Suite } from './suites.ts';

/** What the initiator keeps of message_1. */
export interface SentMessage1 {
  readonly crypto: Crypto;
  readonly terms: Terms;
  readonly cI: Uint8Array;
  readonly ephemeral: EphemeralKey;
  readonly hashOfMessage1: Uint8Array;
}

export interface Message1Fields {
  readonly connectionId: Uint8Array;
  readonly ead1?: readonly EadItem[];
}

export function composeMessage1(
  crypto: Crypto,
  profile: EdhocProfile & { readonly selectedSuite?: number },
  method: number,
  fields: Message1Fields,
): { readonly sent: SentMessage1; readonly message1: Uint8Array } {
  const suites = supportedSuites(profile);
  const selected = profile.selectedSuite ?? profile.suites[0];
  const position = suites.findIndex(({ number }) => number === selected);
  const suite = suites[position];
  if (suite === undefined) throw new TypeError('selected suite not supported');
  const terms = termsOf(profile, method, suite);
  const { connectionId: cI } = fields;
  checkOwnConnectionId(cI, terms);
  const ephemeral = crypto.generateKeyPair(suite.curve);
  const message1 = encodeMessage1({
    method,
    // RFC 9528 §5.2.2: every suite preferred to the selected one stays in, whatever errors said.
    suites: profile.suites.slice(0, position + 1),
    gX: ephemeral.publicKey,
    cI,
    ead1: encodeEad(fields.ead1 ?? []),
  });
  const hashOfMessage1 = schedule.hashOfMessage1({ crypto, suite }, message1);
  return { sent: { crypto, terms, cI, ephemeral, hashOfMessage1 }, message1 };
}

/** Number of items that `storeSentMessage1` gives. */
export const sentMessage1Fields = 4;

export function storeSentMessage1(sent: SentMessage1): readonly Uint8Array[] {
  return [
    storeTerms(sent.terms),
    cbor.bytes(sent.cI),
    cbor.bytes(sent.crypto.exportEphemeral(sent.ephemeral)),
    cbor.bytes(sent.hashOfMessage1),
  ];
}

export function restoreSentMessage1(crypto: Crypto, reader: CborReader): SentMessage1 {
  const terms = restoreTerms(reader);
  const cI = reader.bytes().slice();
  const ephemeral = restoreEphemeral(crypto, terms, reader);
  return { crypto, terms, cI, ephemeral, hashOfMessage1: reader.bytes().slice() };
}

export function restoreEphemeral(crypto: Crypto, terms: Terms, reader: CborReader): EphemeralKey {
  const start = reader.offset;
  const ephemeral = crypto.importEphemeral(terms.suite.curve, reader.bytes());
  return ephemeral ?? reader.fail('no private key of the suite', start);
}

/** What the responder keeps of message_1. */
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
