/** Where a peer's certificate is looked up once its path holds. */
import type { CertificateRecord } from './registryStore.ts';

export interface CertificateRegistry {
  /** By SHA-256 of the whole DER certificate; `undefined` when it was never entered. */
  certificate(sha256: Uint8Array): Promise<CertificateRecord | undefined>;
}
