/** Peers of the test hierarchy, as the registry knows them and the real verifier judges them. */
import { nodeCrypto } from '../../src/drivers/keys/software/nodeCrypto.ts';
import { SoftwareVerifier } from '../../src/drivers/keys/software/verifier.ts';
import type { VerifyPeer } from '../../src/servers/tls/door.ts';
import { PeerVerifier } from '../../src/trust/peers/verifiedPeer.ts';
import type { CertificateRegistry } from '../../src/trust/ports/peers.ts';
import type { CertificateKind, RegistryStore } from '../../src/trust/ports/registryStore.ts';
import { parseCertificate } from '../../src/wire/x509/certificate.ts';
import { type TestAuthority, type TestIdentity, type TestPki, testNowMs, testPki } from './pki.ts';

export const pki: TestPki = testPki();

export interface DoorAnchor {
  readonly authority: TestAuthority;
  readonly kinds: readonly CertificateKind[];
}

export function verifierOf(
  registry: CertificateRegistry,
  anchors: readonly DoorAnchor[],
): VerifyPeer {
  const rules = {
    anchors: anchors.map(({ authority, kinds }) => ({
      certificate: parseCertificate(authority.certificate.der),
      kinds,
    })),
    intermediates: [],
  };
  const verifier = new PeerVerifier(
    {
      registry,
      verifier: new SoftwareVerifier(),
      clock: { nowMs: () => testNowMs },
      sha256: (data) => nodeCrypto.hash('SHA-256', data),
    },
    () => rules,
  );
  return (chain) => verifier.verifyPeer(chain);
}

/** The certificate is active from now on. Devices have to be imported before. */
export async function enter(
  store: RegistryStore,
  { sha256 }: TestIdentity,
  kind: CertificateKind,
  holder: string,
): Promise<void> {
  const entry = { sha256, kind, holder, notAfterMs: undefined };
  if (kind === 'ldevid') await store.enrolDevice(entry, 1);
  else await store.addCertificate(entry, 1);
}
