/** The channel binding of a request's connection: tls-exporter (RFC 9266), which EST's PoP linking names. */
import type { FastifyRequest } from 'fastify';
import { TLSSocket } from 'node:tls';
import { channelBinding } from '../../wire/est/popLinking.ts';

/** `undefined` on connections below TLS 1.3, whose master secret may not be unique (RFC 9266 §2). */
export function channelBindingOf(request: FastifyRequest): Uint8Array | undefined {
  const { socket } = request.raw;
  if (!(socket instanceof TLSSocket) || socket.getProtocol() !== 'TLSv1.3') return undefined;
  const { label, lengthBytes } = channelBinding;
  return new Uint8Array(socket.exportKeyingMaterial(lengthBytes, label, Buffer.alloc(0)));
}
