/**
 * TLS of a device: version 1.3 alone, its own certificate, and a server that stands below a pinned anchor,
 * carries the expected name and was certified to be a server.
 */
import { checkServerIdentity, type ConnectionOptions, type PeerCertificate } from 'node:tls';
import type { DeviceCredential } from '../../../device/ports/server.ts';
import { encodePem } from '../../../wire/x509/pem.ts';

export interface TlsIdentity {
  /** DER, leaf first, without the root. */
  readonly certificates: readonly Uint8Array[];
  /** PKCS#8. Node's TLS cannot call an element; only software elements give a key away. */
  readonly privateKeyPem: string;
}

export interface TlsMaterial {
  /** Asked at every connection: a device's certificates and anchors change while it runs. */
  identity(credential: DeviceCredential): Promise<TlsIdentity>;
  /** DER certificates of the authorities that may certify the server. */
  anchors(): Promise<readonly Uint8Array[]>;
}

export async function tlsOptions(
  material: TlsMaterial,
  credential: DeviceCredential,
): Promise<ConnectionOptions> {
  const [{ certificates, privateKeyPem }, anchors] = await Promise.all([
    material.identity(credential),
    material.anchors(),
  ]);
  return pinnedOptions({ certificates, privateKeyPem }, anchors);
}

/** The same rules for whoever is certified otherwise, such as a station. `anchors` are DER. */
export function pinnedOptions(
  { certificates, privateKeyPem }: TlsIdentity,
  anchors: readonly Uint8Array[],
): ConnectionOptions {
  return {
    minVersion: 'TLSv1.3',
    maxVersion: 'TLSv1.3',
    cert: pemOf(certificates),
    key: privateKeyPem,
    ca: anchors.map((anchor) => pemOf([anchor])),
    // The anchor is the authority of servers, not the root above it: with the root, every certificate of
    // the house would be one step away from passing as a server.
    allowPartialTrustChain: true,
    rejectUnauthorized: true,
    checkServerIdentity: refuseNonServers,
  };
}

const serverAuth = '1.3.6.1.5.5.7.3.1';

/** RFC 5280 §4.2.1.12: OpenSSL takes a certificate without extended key usage for any purpose; we do not. */
function refuseNonServers(host: string, certificate: PeerCertificate): Error | undefined {
  const wrongName = checkServerIdentity(host, certificate);
  if (wrongName !== undefined) return wrongName;
  if (certificate.ext_key_usage?.includes(serverAuth) === true) return undefined;
  return new Error(`the certificate of ${host} is not one of a server`);
}

function pemOf(certificates: readonly Uint8Array[]): string {
  return certificates.map((certificate) => encodePem('CERTIFICATE', certificate)).join('');
}
