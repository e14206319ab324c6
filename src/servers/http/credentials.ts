/** HTTP authentication (RFC 7617 Basic, RFC 6750 Bearer) with a one-time secret: what EST has besides TLS. */
import { parseBase64 } from '../../wire/bytes/base64.ts';
import { fromUtf8 } from '../../wire/bytes/utf8.ts';

/** Longest secret that is looked at. */
const maximumSecret = 256;

/** For status 401. The realm tells a person at a prompt what to type. */
export const challenge = 'Basic realm="birthmark one-time secret", charset="UTF-8", Bearer';

/** The secret of an Authorization header; `undefined` for none, or one of another form. */
export function secretOf(authorization: string | undefined): string | undefined {
  const [, scheme = '', credentials = ''] = /^(\S+) +(\S+) *$/.exec(authorization ?? '') ?? [];
  const secret = scheme.toLowerCase() === 'bearer' ? credentials : passwordOf(scheme, credentials);
  return secret === undefined || secret.length === 0 || secret.length > maximumSecret
    ? undefined
    : secret;
}

/** RFC 7617 §2: the user ends at the first colon. RFC 7030 §3.2.3: it may be empty; here it says nothing. */
function passwordOf(scheme: string, credentials: string): string | undefined {
  if (scheme.toLowerCase() !== 'basic') return undefined;
  const bytes = parseBase64(credentials);
  const text = bytes === undefined ? undefined : fromUtf8(bytes);
  const colon = text?.indexOf(':') ?? -1;
  return colon < 0 ? undefined : text?.slice(colon + 1);
}
