/**
 * Linking of identity and proof of possession (RFC 7030 §3.5): the request names the connection, or the
 * session, in its challengePassword, so that its signature was made by whoever authenticated there, then and
 * there.
 */
import { toBase64 } from '../bytes/base64.ts';
import { equalConstantTime } from '../bytes/bytes.ts';
import { utf8 } from '../bytes/utf8.ts';

/** What to export from a TLS 1.3 connection: `tls-exporter` of RFC 9266 §2, with a zero-length context. */
export const channelBinding = { label: 'EXPORTER-Channel-Binding', lengthBytes: 32 } as const;

/** EDHOC_Exporter of a session (RFC 9528 §4.2.1). */
export type EdhocExporter = (label: number, context: Uint8Array, lengthBytes: number) => Uint8Array;

/** Not assigned by the draft: of the range for private use (RFC 9528 §10.1), both ends alike. */
export const exampleEdhocUniqueLabel = 32_768;

/** edhoc-unique = EDHOC_Exporter(TBD1, "EDHOC Unique", 32) (draft-ietf-ace-coap-est-oscore, channel binding). */
export function edhocUnique(
  exporter: EdhocExporter,
  label: number = exampleEdhocUniqueLabel,
): Uint8Array {
  return exporter(label, utf8('EDHOC Unique'), channelBinding.lengthBytes);
}

/** challengePassword for a connection whose channel binding this is. */
export function linkingPassword(exported: Uint8Array): string {
  return toBase64(exported);
}

/** Whether a challengePassword names the connection with this channel binding. */
export function linksTo(challengePassword: string, exported: Uint8Array): boolean {
  return equalConstantTime(utf8(challengePassword), utf8(linkingPassword(exported)));
}
