/** COSE Header Parameters registry. x5*: RFC 9360; kcwt, kccs: RFC 9528 §10.6; c5*: the C509 draft. */
export const algorithm = 1;
export const critical = 2;
export const contentType = 3;
export const kid = 4;
export const iv = 5;
export const partialIv = 6;
export const kcwt = 13;
export const kccs = 14;
export const c5t = 22;
export const c5u = 23;
export const c5b = 24;
export const c5c = 25;
export const x5bag = 32;
export const x5chain = 33;
export const x5t = 34;
export const x5u = 35;
