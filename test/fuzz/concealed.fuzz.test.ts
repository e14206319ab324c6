/** The Authorization header of operators (RFC 9729): a stranger may send anything. */
import { fromUtf8, utf8 } from '../../src/wire/bytes/utf8.ts';
import { encodeConcealed, parseConcealed } from '../../src/wire/http/concealed.ts';
import { fuzz } from '../support/fuzz.ts';

const proof = {
  keyId: utf8('ada'),
  publicKey: Uint8Array.from({ length: 65 }, (_, at) => (at === 0 ? 4 : at)),
  verification: new Uint8Array(16).fill(7),
  signature: new Uint8Array(70).fill(9),
};

fuzz({
  name: 'concealed',
  valid: [utf8(encodeConcealed(proof)), utf8(encodeConcealed(proof).replaceAll(', ', ','))],
  read: (input) => parseConcealed(fromUtf8(input) ?? ''),
});
