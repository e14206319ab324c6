/** The certificates that a TLS peer has shown, as bytes for `trust/peers`: nothing is concluded here. */
import type { DetailedPeerCertificate, TLSSocket } from 'node:tls';

/** A leaf and three authorities are the most that any of our hierarchies has; one more for others. */
const maximumCertificates = 5;

/**
 * DER, leaf first; empty when the peer showed none. On a resumed connection only the leaf is there: the
 * ticket does not keep the rest.
 */
export function peerChain(socket: TLSSocket): readonly Uint8Array[] {
  const chain: Uint8Array[] = [];
  let certificate: DetailedPeerCertificate | undefined = socket.getPeerCertificate(true);
  while (certificate?.raw !== undefined && chain.length < maximumCertificates) {
    const { buffer, byteOffset, length } = certificate.raw;
    chain.push(new Uint8Array(buffer, byteOffset, length));
    const issuer: DetailedPeerCertificate | undefined = certificate.issuerCertificate;
    // A self-signed certificate is shown as the issuer of itself.
    certificate = issuer === certificate ? undefined : issuer;
  }
  return chain;
}
