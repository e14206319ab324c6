/** Anchors for devices that read no X.509: see `readBareAnchor`. */
import * as cbor from '../cbor/writer.ts';
import type { Certificate } from '../x509/model.ts';
import { namedCurve } from '../x509/spki.ts';
import { encodeName } from './names.ts';
import { encodePublicKey } from './publicKey.ts';

/** Name and key of an authority; `undefined` where its key is not on P-256, which is all that sensors verify. */
export function bareAnchor({
  subject,
  publicKey,
}: Pick<Certificate, 'subject' | 'publicKey'>): Uint8Array | undefined {
  if (namedCurve(publicKey) !== 'P-256') return undefined;
  return cbor.array(encodeName(subject, 2), ...encodePublicKey(publicKey, 2, true));
}
