/** Absolute URIs and the options they stand for (RFC 7252 §6.4), as far as OSCORE must take them apart. */
import { concat } from '../bytes/bytes.ts';
import { fromUtf8, utf8 } from '../bytes/utf8.ts';

export interface UriParts {
  /** Scheme and authority as written: `coap://example.com:5683`. */
  readonly origin: string;
  /** Percent-decoded values of Uri-Path and Uri-Query. */
  readonly path: readonly Uint8Array[];
  readonly query: readonly Uint8Array[];
}

/** `undefined` when it is no absolute URI with an authority, or has a fragment. */
export function splitUri(uri: Uint8Array): UriParts | undefined {
  const text = fromUtf8(uri);
  const match = text === undefined ? null : uriPattern.exec(text);
  if (match === null) return undefined;
  const [, origin = '', path = '', query] = match;
  // RFC 7252 §6.4 step 8: an empty path and a single slash are no segments.
  const segments = path === '' || path === '/' ? [] : path.slice(1).split('/');
  const decodedPath = decodeAll(segments);
  const decodedQuery = decodeAll(query === undefined ? [] : query.split('&'));
  if (decodedPath === undefined || decodedQuery === undefined) return undefined;
  return { origin, path: decodedPath, query: decodedQuery };
}

/** RFC 3986 §4.3: scheme, authority, path, query; no fragment. */
const uriPattern = /^([A-Za-z][A-Za-z0-9+.-]*:\/\/[^/?#]+)(\/[^?#]*)?(?:\?([^#]*))?$/;

function decodeAll(parts: readonly string[]): Uint8Array[] | undefined {
  const decoded: Uint8Array[] = [];
  for (const part of parts) {
    const bytes = percentDecode(part);
    if (bytes === undefined) return undefined;
    decoded.push(bytes);
  }
  return decoded;
}

function percentDecode(text: string): Uint8Array | undefined {
  const [first = '', ...escaped] = text.split('%');
  const parts = [utf8(first)];
  for (const part of escaped) {
    if (!/^[0-9A-Fa-f]{2}/.test(part)) return undefined;
    parts.push(Uint8Array.of(Number.parseInt(part.slice(0, 2), 16)), utf8(part.slice(2)));
  }
  return concat(...parts);
}
