/** What both sides do first with a received message: find and decompress the COSE header (RFC 8613 §2, §6). */
import { MalformedError } from '../bytes/malformed.ts';
import type { CoapContent } from '../coap/message.ts';
import { findOptions, optionNumbers } from '../coap/options.ts';
import { type OscoreOption, parseOscoreOption } from './option.ts';
import { type OscoreRefusal, refuse } from './refusal.ts';

/**
 * The decompressed header: `kid` and `kidContext` of a request say whose context to look up. Refuses a
 * message without the option, with two of them, without payload, or with a value that does not decompress.
 */
export function readProtected(
  message: CoapContent,
): OscoreOption | OscoreRefusal<'not-oscore' | 'malformed'> {
  const [value, second] = findOptions(message.options, optionNumbers.oscore);
  if (value === undefined) return refuse('not-oscore');
  // RFC 8613 §2: the option is not repeatable, and a message with it and without payload is malformed.
  if (second !== undefined || message.payload.length === 0) return refuse('malformed');
  try {
    return parseOscoreOption(value);
  } catch (error) {
    if (error instanceof MalformedError) return refuse('malformed');
    throw error;
  }
}
