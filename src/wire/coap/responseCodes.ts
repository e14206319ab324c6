/** Response codes of CoAP (RFC 7252 §12.1.2). Constants each, so that a bundle holds those it uses. */
export const created = 0x41;
export const deleted = 0x42;
export const valid = 0x43;
export const changed = 0x44;
export const content = 0x45;
/** RFC 7959 §2.9.1. */
const continueCode = 0x5f;
export { continueCode as continue };
export const badRequest = 0x80;
export const unauthorized = 0x81;
export const badOption = 0x82;
export const forbidden = 0x83;
export const notFound = 0x84;
export const methodNotAllowed = 0x85;
export const notAcceptable = 0x86;
/** RFC 7959 §2.9.2. */
export const requestEntityIncomplete = 0x88;
export const conflict = 0x89;
export const preconditionFailed = 0x8c;
export const requestEntityTooLarge = 0x8d;
export const unsupportedContentFormat = 0x8f;
export const unprocessableEntity = 0x96;
export const tooManyRequests = 0x9d;
export const internalServerError = 0xa0;
export const notImplemented = 0xa1;
export const badGateway = 0xa2;
export const serviceUnavailable = 0xa3;
export const gatewayTimeout = 0xa4;
export const proxyingNotSupported = 0xa5;
