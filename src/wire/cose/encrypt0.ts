/** Additional data of COSE_Encrypt0 (RFC 9052 §5.3); EDHOC and OSCORE carry the rest in forms of their own. */
import * as cbor from '../cbor/writer.ts';
import { canonicalProtected } from './headers.ts';

/** Enc_structure. `protectedBytes` is the content of the byte string, empty when there are no headers. */
export function encStructure(protectedBytes: Uint8Array, externalAad: Uint8Array): Uint8Array {
  return cbor.array(
    context,
    cbor.bytes(canonicalProtected(protectedBytes)),
    cbor.bytes(externalAad),
  );
}

const context = cbor.text('Encrypt0');
