/** CoAP codes (RFC 7252 §12.1): class in the upper three bits, detail in the lower five. */

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

export const responses = {
  created: 0x41,
  deleted: 0x42,
  valid: 0x43,
  changed: 0x44,
  content: 0x45,
  /** RFC 7959 §2.9.1. */
  continue: 0x5f,
  badRequest: 0x80,
  unauthorized: 0x81,
  badOption: 0x82,
  forbidden: 0x83,
  notFound: 0x84,
  methodNotAllowed: 0x85,
  notAcceptable: 0x86,
  /** RFC 7959 §2.9.2. */
  requestEntityIncomplete: 0x88,
  conflict: 0x89,
  preconditionFailed: 0x8c,
  requestEntityTooLarge: 0x8d,
  unsupportedContentFormat: 0x8f,
  unprocessableEntity: 0x96,
  tooManyRequests: 0x9d,
  internalServerError: 0xa0,
  notImplemented: 0xa1,
  badGateway: 0xa2,
  serviceUnavailable: 0xa3,
  gatewayTimeout: 0xa4,
  proxyingNotSupported: 0xa5,
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
