/** The channel binding of a request's connection, which EST's PoP linking names (RFC 7030 §3.5). */
import type { FastifyRequest } from 'fastify';
import { TLSSocket } from 'node:tls';
import { lacksExtendedMasterSecret } from '../tls/extendedMasterSecret.ts';
import { channelBinding } from '../../wire/est/popLinking.ts';

/**
 * TLS 1.3: tls-exporter (RFC 9266). TLS 1.2: tls-unique (RFC 5929 §3), the client's Finished, which is the
 * first one of a full handshake. `undefined` on a resumed connection of TLS 1.2, whose first Finished is
 * the server's, and without the extended master secret, when it is not unique (RFC 7627 §1).
 */
export function channelBindingOf(request: FastifyRequest): Uint8Array | undefined {
  const { socket } = request.raw;
  if (!(socket instanceof TLSSocket)) return undefined;
  if (socket.getProtocol() === 'TLSv1.3') {
    const { label, lengthBytes } = channelBinding;
    return new Uint8Array(socket.exportKeyingMaterial(lengthBytes, label, Buffer.alloc(0)));
  }
  if (socket.isSessionReused() || lacksExtendedMasterSecret(socket)) return undefined;
  const finished = socket.getPeerFinished();
  return finished === undefined ? undefined : new Uint8Array(finished);
}
