/** Whether a TLS 1.2 session has the extended master secret (RFC 7627), which Node does not tell. */
import type { TLSSocket } from 'node:tls';
import { DerReader } from '../../wire/der/reader.ts';
import { contextConstructed, tags } from '../../wire/der/tags.ts';
import { MalformedError } from '../../wire/bytes/malformed.ts';

/** Field of OpenSSL's SSL_SESSION in DER that holds its flags, and the flag SSL_SESS_FLAG_EXTMS. */
const flagsField = 13;
const extendedMasterSecret = 1;

/** Never true of TLS 1.3, whose secrets are bound to their handshake. */
export function lacksExtendedMasterSecret(socket: TLSSocket): boolean {
  return socket.getProtocol() !== 'TLSv1.3' && !isExtended(socket);
}

/** False also where the session cannot be read: then nobody knows. */
function isExtended(socket: TLSSocket): boolean {
  const session = socket.getSession();
  if (session === undefined) return false;
  try {
    const flags = new DerReader(new Uint8Array(session)).constructed(tags.sequence, readFlags);
    return (flags & extendedMasterSecret) !== 0;
  } catch (error) {
    if (error instanceof MalformedError) return false;
    throw error;
  }
}

function readFlags(session: DerReader): number {
  let flags = 0;
  while (!session.atEnd) {
    const { tag, content } = session.any();
    if (tag === contextConstructed(flagsField)) flags = new DerReader(content).unsigned();
  }
  return flags;
}
