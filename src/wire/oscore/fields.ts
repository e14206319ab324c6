/**
 * Which fields of a CoAP message travel inside, encrypted (Class E), and which outside (Class U), and the
 * plaintext they make (RFC 8613 §4, §5.3). There are no options of Class I.
 */
import { MalformedError } from '../bytes/malformed.ts';
import { isRequest, isResponse, methods, responses } from '../coap/codes.ts';
import { type CoapContent, encodeContent, parseOptions } from '../coap/message.ts';
import { type CoapOption, hasOption, opaque, optionNumbers } from '../coap/options.ts';

export interface SplitOptions {
  readonly inner: readonly CoapOption[];
  /** Without the OSCORE option, which is put in with the protected message. */
  readonly outer: readonly CoapOption[];
}

/** Options of Class U alone (RFC 8613 Figure 5; EDHOC: RFC 9668 §3.1; Hop-Limit: RFC 8768 §3). */
const outerOnly: ReadonlySet<number> = new Set([
  optionNumbers.uriHost,
  optionNumbers.uriPort,
  optionNumbers.oscore,
  optionNumbers.hopLimit,
  optionNumbers.edhoc,
  optionNumbers.proxyUri,
  optionNumbers.proxyScheme,
]);

const none: readonly CoapOption[] = [];

/** RFC 8613 §4.1: options that are unknown are Class E. */
export function splitRequest(options: readonly CoapOption[]): SplitOptions {
  return split(options);
}

/** RFC 8613 §4.1.3.5.2: inside a notification the Observe option is empty. */
export function splitResponse(options: readonly CoapOption[]): SplitOptions {
  return split(options, emptyObserve);
}

const emptyObserve = opaque(optionNumbers.observe);

/** RFC 8613 §8.2 step 1, §8.4 step 1: what is of Class E has no meaning outside. */
export function meaningfulOuter(options: readonly CoapOption[]): readonly CoapOption[] {
  // Mostly the OSCORE option is all there is.
  if (options.length === 1) return none;
  return options.filter(({ number }) => outerOnly.has(number) && number !== optionNumbers.oscore);
}

/** RFC 8613 §4.2; with Observe the codes are FETCH and 2.05 (§4.1.3.5). */
export function outerCode(kind: 'request' | 'response', observes: boolean): number {
  if (kind === 'request') return observes ? methods.fetch : methods.post;
  return observes ? responses.content : responses.changed;
}

export function encodePlaintext(
  code: number,
  inner: readonly CoapOption[],
  payload: Uint8Array,
): Uint8Array {
  const plaintext = encodeContent({ options: inner, payload }, 1);
  plaintext[0] = code;
  return plaintext;
}

/** `undefined` when the plaintext is no CoAP message of that kind. */
export function parsePlaintext(
  kind: 'request' | 'response',
  plaintext: Uint8Array,
): CoapContent | undefined {
  const code = plaintext[0];
  if (code === undefined) return undefined;
  if (!(kind === 'request' ? isRequest(code) : isResponse(code))) return undefined;
  try {
    const content = parseOptions(plaintext, 1);
    // RFC 8613 §4.1.3.7: OSCORE is not nested.
    return hasOption(content.options, optionNumbers.oscore) ? undefined : { code, ...content };
  } catch (error) {
    if (error instanceof MalformedError) return undefined;
    throw error;
  }
}

/** Both lists in the order of their option numbers. */
export function mergeOptions(
  left: readonly CoapOption[],
  right: readonly CoapOption[],
): readonly CoapOption[] {
  if (left.length === 0) return right;
  if (right.length === 0) return left;
  return [...left, ...right].sort((one, other) => one.number - other.number);
}

function split(options: readonly CoapOption[], innerObserve?: CoapOption): SplitOptions {
  const inner: CoapOption[] = [];
  const outer: CoapOption[] = [];
  for (const option of options) {
    const { number } = option;
    if (number === optionNumbers.observe) {
      // RFC 8613 §4.1.3.5: outside for those who forward, inside for the other end.
      outer.push(option);
      inner.push(innerObserve ?? option);
    } else if (number === optionNumbers.oscore) {
      // RFC 8613 §4.1.3.7: OSCORE is not applied to what has the option.
      throw new TypeError('protected already');
    } else if (outerOnly.has(number)) {
      if (number === optionNumbers.proxyUri && !isOrigin(option)) {
        throw new TypeError('Proxy-Uri: see proxyUri.ts');
      }
      outer.push(option);
    } else inner.push(option);
  }
  return { inner, outer };
}

/** RFC 8613 §4.1.3.3: of a Proxy-Uri only scheme and authority may be seen from outside: `coap://host`. */
function isOrigin({ value }: CoapOption): boolean {
  return !value.includes(question) && value.filter((byte) => byte === slash).length === 2;
}

const slash = 0x2f;
const question = 0x3f;
