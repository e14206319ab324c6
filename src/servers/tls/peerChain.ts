/** The certificates that a TLS peer has shown, as bytes for `trust/peers`: nothing is concluded here. */
import type { X509Certificate } from 'node:crypto';
import type { TLSSocket } from 'node:tls';

/** A leaf and three authorities are the most that any of our hierarchies has; one more for others. */
const maximumCertificates = 5;

/**
 * DER, leaf first; empty when the peer showed none. On a resumed connection only the leaf is there: the
 * ticket does not keep the rest.
 */
export function peerChain(socket: TLSSocket): readonly Uint8Array[] {
  const chain: Uint8Array[] = [];
  // The other form, `getPeerCertificate`, spells every member of every certificate out.
  let certificate: X509Certificate | undefined = socket.getPeerX509Certificate();
  while (certificate !== undefined && chain.length < maximumCertificates) {
    const { buffer, byteOffset, length } = certificate.raw;
    chain.push(new Uint8Array(buffer, byteOffset, length));
    certificate = certificate.issuerCertificate;
  }
  return chain;
}
