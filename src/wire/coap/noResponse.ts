/** The No-Response option (RFC 7967 §2): which classes of responses the client does not want. */
import { isResponse } from './codes.ts';
import { type CoapOption, findUint, optionNumbers, uint } from './options.ts';

/** Bits of the value. Not interested in every class at once is 26. */
export const noResponseBits = { success: 2, clientError: 8, serverError: 16 } as const;
export const noResponseAtAll = 26;

export function noResponse(value: number): CoapOption {
  return uint(optionNumbers.noResponse, value);
}

/** Whether this response may stay unsent. RFC 7967 §2.1: an empty value asks for every response. */
export function isSuppressed(requestOptions: readonly CoapOption[], responseCode: number): boolean {
  const value = findUint(requestOptions, optionNumbers.noResponse);
  if (value === undefined || !isResponse(responseCode)) return false;
  return (value & (1 << ((responseCode >> 5) - 1))) !== 0;
}
