/** CoAP codes (RFC 7252 §12.1): class in the upper three bits, detail in the lower five. */
import * as responses from './responseCodes.ts';

export { responses };

/** A code from its written form: `code(2, 5)` is 2.05. */
export function code(codeClass: number, detail: number): number {
  return (codeClass << 5) | detail;
}

export const emptyCode = 0;

export const methods = {
  get: 0x01,
  post: 0x02,
  put: 0x03,
  delete: 0x04,
  /** RFC 8132. */
  fetch: 0x05,
  patch: 0x06,
  iPatch: 0x07,
} as const;

export function isRequest(value: number): boolean {
  return value > 0 && value < 32;
}

/** Classes 2, 4 and 5. */
export function isResponse(value: number): boolean {
  const codeClass = value >> 5;
  return codeClass === 2 || codeClass === 4 || codeClass === 5;
}

export function isSuccess(value: number): boolean {
  return value >> 5 === 2;
}

/** `2.05`: for logs and people. */
export function codeText(value: number): string {
  return `${value >> 5}.${String(value & 31).padStart(2, '0')}`;
}
