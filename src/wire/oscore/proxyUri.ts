/** What a client does to a request for a forward proxy before it protects it (RFC 8613 §4.1.3.3). */
import {
  type CoapOption,
  findOption,
  opaque,
  optionNumbers,
  text,
  withoutOptions,
} from '../coap/options.ts';
import { splitUri } from '../coap/uri.ts';

/**
 * Path and query become options of their own, which go inside; scheme, host and port stay in the Proxy-Uri.
 * Options without one come back as they are. Throws a `TypeError` when it is no absolute URI.
 */
export function withoutProxyPath(options: readonly CoapOption[]): readonly CoapOption[] {
  const proxyUri = findOption(options, optionNumbers.proxyUri);
  if (proxyUri === undefined) return options;
  const uri = splitUri(proxyUri);
  if (uri === undefined) throw new TypeError('the Proxy-Uri is no absolute URI');
  return [
    ...withoutOptions(options, optionNumbers.proxyUri),
    ...uri.path.map((segment) => opaque(optionNumbers.uriPath, segment)),
    ...uri.query.map((argument) => opaque(optionNumbers.uriQuery, argument)),
    text(optionNumbers.proxyUri, uri.origin),
  ];
}
