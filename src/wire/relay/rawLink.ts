/**
 * The application profile of raw links (RFC 9528 §3.9): what both ends of a sensor's session take for
 * granted, so that it costs no bytes.
 */
import * as cbor from '../cbor/writer.ts';

/** Static Diffie-Hellman on both sides, credentials by kid: 37, 45 and 19 bytes. */
export const rawLinkMethod = 3;

/** AES-CCM-16-64-128, SHA-256, P-256. */
export const rawLinkSuite = 2;

/**
 * The context of EDHOC_KeyUpdate (RFC 9528 Appendix H) that leads to this epoch; the handshake's is 0. An
 * update costs no byte: the device goes over to the next epoch, and the server follows when a message
 * verifies under it.
 */
export function epochContext(epoch: number): Uint8Array {
  return cbor.integer(epoch);
}

/** POST here is telemetry: the path costs two bytes. */
export const telemetryPath = 't';

/**
 * What a frame with telemetry holds beside its payload, at most: kind 1, CoAP header 4, OSCORE option
 * with Partial IV of 3 bytes and kid of 1 byte 6, marker 1; inside code 1, path 2, No-Response 3, marker
 * 1, tag 8. The token is empty, since one request is open at a time.
 */
export const telemetryOverheadBytes = 27;
