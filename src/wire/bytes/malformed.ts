/**
 * What a reader throws at the first byte that is wrong. The peer sent it, so it is the peer's fault;
 * `servers/` turns it into the answer of its protocol.
 */
export class MalformedError extends Error {
  /** Format whose rule was broken: `der`, `cbor`, `coap`, ... */
  readonly format: string;
  /** Offset of the first wrong byte, counted from the start of the input that the reader was given. */
  readonly offset: number;

  constructor(format: string, offset: number, problem: string) {
    super(`${format}: ${problem} at byte ${offset}`);
    this.name = 'MalformedError';
    this.format = format;
    this.offset = offset;
  }
}

/**
 * Input of a correct form that asks for something this implementation does not do (an algorithm, a
 * version, a critical extension). Also the peer's choice, but not a broken encoding.
 */
export class UnsupportedError extends Error {
  readonly format: string;

  constructor(format: string, what: string) {
    super(`${format}: ${what} is not supported`);
    this.name = 'UnsupportedError';
    this.format = format;
  }
}
