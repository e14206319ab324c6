/** Numbers of CoAP options: RFC 7252 §12.2 where nothing else is said. Constants each, so that a bundle holds those it uses. */
export const ifMatch = 1;
export const uriHost = 3;
export const eTag = 4;
export const ifNoneMatch = 5;
/** RFC 7641. */
export const observe = 6;
export const uriPort = 7;
export const locationPath = 8;
/** RFC 8613. */
export const oscore = 9;
export const uriPath = 11;
export const contentFormat = 12;
export const maxAge = 14;
export const uriQuery = 15;
/** RFC 8768. */
export const hopLimit = 16;
export const accept = 17;
export const locationQuery = 20;
/** RFC 9668. */
export const edhoc = 21;
/** RFC 7959. */
export const block2 = 23;
export const block1 = 27;
export const size2 = 28;
export const proxyUri = 35;
export const proxyScheme = 39;
export const size1 = 60;
/** RFC 9175. */
export const echo = 252;
/** RFC 7967. */
export const noResponse = 258;
/** RFC 9175. */
export const requestTag = 292;
