/**
 * How a device asks for the server's credential as a chain, and for a fresh word of the authority about it
 * (docs/server-identity.md):
 *
 *     EAD_1  ( credentialLabel, ? known: bstr .size 4 )   by chain; `known` begins the SHA-256 of the one that it has
 *     EAD_1  ( credentialLabel, h'21' )                   by chain, as X.509: the COSE header label of x5chain
 *     EAD_1  ( -statusLabel )                             critical: a status, or no handshake
 *     EAD_2  ( statusLabel, bstr .cborseq status )
 *
 *     status = ( time: uint, floor: uint, signature: bstr .size 64 )
 *
 * The signature is ES256 by the status key that the credential names, over the Sig_structure of COSE_Sign1
 * with protected header { 1: -7 }, external_aad << h1: bstr, certificate: bstr >> and payload << time, floor >>:
 * H(message_1), and SHA-256 of the certificate as it is encoded. There is no word for anything but good.
 */
import { CborReader } from '../cbor/reader.ts';
import * as cbor from '../cbor/writer.ts';
import { signatureAlgorithmNumbers } from '../cose/algorithms.ts';
import { headerLabels } from '../cose/headers.ts';
import { sigStructure } from '../cose/sign1.ts';
import type { Crypto, PublicKey } from '../crypto/crypto.ts';
import type { EadItem } from './ead.ts';

export interface ServerProofCodePoints {
  readonly credentialLabel: number;
  readonly statusLabel: number;
}

/** Not registered, and RFC 9528 §10.5 has no labels for private use: both ends are configured alike. */
export const exampleServerProof: ServerProofCodePoints = {
  credentialLabel: 65_001,
  statusLabel: 65_002,
};

export const knownBytes = 4;
/** r‖s of P-256. */
const signatureBytes = 64;

/** What the authority says: this certificate counted at `timeS`, and what is below `floor` does not. */
export interface StatusWord {
  /** Seconds since 1970-01-01T00:00:00Z. */
  readonly timeS: number;
  readonly floor: number;
}

export interface ServerStatus extends StatusWord {
  readonly signature: Uint8Array;
}

/** What a word is about. */
export interface StatusSubject {
  readonly hashOfMessage1: Uint8Array;
  /** SHA-256 of DER, or of the C509 array. */
  readonly certificateSha256: Uint8Array;
}

export function credentialRequest(
  { credentialLabel: label }: ServerProofCodePoints,
  known?: Uint8Array,
): EadItem {
  const item = { label, critical: false };
  return known === undefined ? item : { ...item, value: known.subarray(0, knownBytes) };
}

/** For the certificate as X.509, which comes whole. */
export function x509Request({ credentialLabel: label }: ServerProofCodePoints): EadItem {
  return { label, critical: false, value: Uint8Array.of(headerLabels.x5chain) };
}

export function statusRequest({ statusLabel: label }: ServerProofCodePoints): EadItem {
  return { label, critical: true };
}

export interface ServerRequest {
  readonly chain: boolean;
  readonly x509: boolean;
  readonly known: Uint8Array | undefined;
  readonly status: boolean;
}

/** What an initiator asks for in EAD_1; a value of another form is none. */
export function readServerRequest(
  { credentialLabel, statusLabel }: ServerProofCodePoints,
  items: readonly EadItem[],
): ServerRequest {
  const credential = items.find(({ label }) => label === credentialLabel);
  const value = credential?.value;
  return {
    chain: credential !== undefined,
    x509: value?.length === 1 && value[0] === headerLabels.x5chain,
    known: value?.length === knownBytes ? value : undefined,
    status: items.some(({ label }) => label === statusLabel),
  };
}

export function statusToBeSigned({ timeS, floor }: StatusWord, subject: StatusSubject): Uint8Array {
  const { hashOfMessage1, certificateSha256 } = subject;
  return sigStructure(
    protectedBytes,
    cbor.sequence(cbor.bytes(hashOfMessage1), cbor.bytes(certificateSha256)),
    cbor.sequence(cbor.integer(timeS), cbor.integer(floor)),
  );
}

const protectedBytes = cbor.map([cbor.integer(1), cbor.integer(signatureAlgorithmNumbers.ES256)]);

export function encodeStatus({ timeS, floor, signature }: ServerStatus): Uint8Array {
  if (signature.length !== signatureBytes) throw new TypeError('a signature of P-256 as r‖s');
  return cbor.sequence(cbor.integer(timeS), cbor.integer(floor), cbor.bytes(signature));
}

export function statusItem(
  { statusLabel: label }: ServerProofCodePoints,
  value: Uint8Array,
): EadItem {
  return { label, critical: false, value };
}

/** Throws a `MalformedError`. The signature is a view of the input. */
export function parseStatus(value: Uint8Array): ServerStatus {
  const reader = new CborReader(value);
  const timeS = reader.unsigned();
  const floor = reader.unsigned(0xffff_ffff);
  const start = reader.offset;
  const signature = reader.bytes();
  if (signature.length !== signatureBytes) reader.fail('a signature has 64 bytes', start);
  reader.end();
  return { timeS, floor, signature };
}

/** Whether the key said so of this certificate in answer to this message_1. */
export function verifyStatus(
  crypto: Crypto,
  statusKey: PublicKey,
  status: ServerStatus,
  subject: StatusSubject,
): boolean {
  return crypto.verify(statusKey, 'ES256', statusToBeSigned(status, subject), status.signature);
}
