/** Bytes from a radio: anybody's, and often damaged. */
import { MalformedError, UnsupportedError } from '../../wire/bytes/malformed.ts';

/** What was read; `undefined` where the bytes are not of that form. */
export function readOrUndefined<Value>(read: () => Value): Value | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof MalformedError || error instanceof UnsupportedError) return undefined;
    throw error;
  }
}
