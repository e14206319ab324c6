/**
 * A fresh word of the authority about the credential that the server shows, in EAD_2: where a device demands
 * it, the key of a credential that was stolen and revoked is of no use any more (docs/server-identity.md).
 */
import { MalformedError } from '../../wire/bytes/malformed.ts';
import type { Crypto } from '../../wire/crypto/crypto.ts';
import type { EadItem } from '../../wire/edhoc/ead.ts';
import {
  parseStatus,
  type ServerProofCodePoints,
  type ServerStatus,
  statusRequest,
  verifyStatus,
} from '../../wire/edhoc/serverStatus.ts';
import type { ServerCertificate } from './serverCertificate.ts';

/** Demanded of every server that this device talks to; a device without it leaves its code out. */
export interface FreshStatus {
  readonly request: EadItem;
  /** `undefined` when nobody vouches for that certificate in this handshake. */
  readonly wordIn: (
    ead2: readonly EadItem[],
    server: ServerCertificate,
    about: { readonly certificate: Uint8Array; readonly hashOfMessage1: Uint8Array },
  ) => ServerStatus | undefined;
}

export function freshStatus(crypto: Crypto, codePoints: ServerProofCodePoints): FreshStatus {
  return {
    request: statusRequest(codePoints),
    wordIn: (ead2, { statusKey }, { certificate, hashOfMessage1 }) => {
      const value = ead2.find(({ label }) => label === codePoints.statusLabel)?.value;
      const key = statusKey && crypto.importPublicKey('P-256', statusKey);
      const status = value && parsed(value);
      if (key === undefined || status === undefined) return undefined;
      const certificateSha256 = crypto.hash('SHA-256', certificate);
      const subject = { hashOfMessage1, certificateSha256 };
      return verifyStatus(crypto, key, status, subject) ? status : undefined;
    },
  };
}

function parsed(value: Uint8Array): ServerStatus | undefined {
  try {
    return parseStatus(value);
  } catch (error) {
    if (error instanceof MalformedError) return undefined;
    throw error;
  }
}
