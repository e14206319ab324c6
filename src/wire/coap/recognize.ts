/**
 * Which options of a message an endpoint understands (RFC 7252 §5.4.1). An option of the wrong length is not
 * a broken message but an option that is not recognized (§5.4.3).
 */
import { type CoapOption, isCritical, optionNumbers } from './options.ts';

export interface Recognized {
  /** What is left when unrecognized elective options are dropped (RFC 7252 §5.4.1). */
  readonly options: readonly CoapOption[];
  /** The first critical option that is not recognized: the answer to a request is 4.02. */
  readonly badOption?: number;
}

/**
 * Recognized is an option that the caller understands, with a length in its range (RFC 7252 §5.4.3), and
 * in its first occurrence unless it may repeat (§5.4.5).
 */
export function recognize(
  options: readonly CoapOption[],
  understood: ReadonlySet<number>,
): Recognized {
  const kept: CoapOption[] = [];
  let badOption: number | undefined;
  let previous = -1;
  for (const option of options) {
    const { number, value } = option;
    const known = facts.get(number);
    const fits =
      known !== undefined &&
      value.length >= known.minimumBytes &&
      value.length <= known.maximumBytes &&
      (known.repeatable || number !== previous);
    previous = number;
    if (fits && understood.has(number)) kept.push(option);
    else if (isCritical(number)) badOption ??= number;
  }
  return badOption === undefined ? { options: kept } : { options: kept, badOption };
}

interface OptionFacts {
  readonly minimumBytes: number;
  readonly maximumBytes: number;
  readonly repeatable: boolean;
}

const facts = new Map<number, OptionFacts>();
describe(optionNumbers.ifMatch, 0, 8, 'repeatable');
describe(optionNumbers.uriHost, 1, 255);
describe(optionNumbers.eTag, 1, 8, 'repeatable');
describe(optionNumbers.ifNoneMatch, 0, 0);
describe(optionNumbers.observe, 0, 3);
describe(optionNumbers.uriPort, 0, 2);
describe(optionNumbers.locationPath, 0, 255, 'repeatable');
describe(optionNumbers.oscore, 0, 255);
describe(optionNumbers.uriPath, 0, 255, 'repeatable');
describe(optionNumbers.contentFormat, 0, 2);
describe(optionNumbers.maxAge, 0, 4);
describe(optionNumbers.uriQuery, 0, 255, 'repeatable');
describe(optionNumbers.hopLimit, 1, 1);
describe(optionNumbers.accept, 0, 2);
describe(optionNumbers.locationQuery, 0, 255, 'repeatable');
// RFC 9668 §3.1: the EDHOC option is empty, and a value that is there is ignored.
describe(optionNumbers.edhoc, 0, 65_535);
describe(optionNumbers.block2, 0, 3);
describe(optionNumbers.block1, 0, 3);
describe(optionNumbers.size2, 0, 4);
describe(optionNumbers.proxyUri, 1, 1034);
describe(optionNumbers.proxyScheme, 1, 255);
describe(optionNumbers.size1, 0, 4);
describe(optionNumbers.echo, 1, 40);
describe(optionNumbers.noResponse, 0, 1);
describe(optionNumbers.requestTag, 0, 8, 'repeatable');

function describe(
  number: number,
  minimumBytes: number,
  maximumBytes: number,
  repeatable?: 'repeatable',
): void {
  facts.set(number, { minimumBytes, maximumBytes, repeatable: repeatable !== undefined });
}
