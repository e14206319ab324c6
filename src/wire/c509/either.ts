/** Certificates and requests in whichever of the two encodings they came: the first octet tells. */
import { parseCertificate } from '../x509/certificate.ts';
import {
  type CertificationRequest,
  parseCertificationRequest,
} from '../x509/certificationRequest.ts';
import type { Certificate } from '../x509/model.ts';
import { completeCertificate } from '../x509/certificateWriter.ts';
import { parseC509Certificate } from './certificate.ts';
import { completeNative } from './native.ts';
import type { PointDecompressor } from './publicKey.ts';
import { parseC509Request } from './request.ts';

/** `der`: X.509. `reencoded`: C509 type 3. `native`: C509 type 2, which has no DER. */
export type EncodingForm = 'der' | 'reencoded' | 'native';

export interface EitherCertificate {
  readonly form: EncodingForm;
  /** Of type 3 it is the X.509 certificate; of type 2 `der` is the C509 array. */
  readonly certificate: Certificate;
}

export interface EitherRequest {
  readonly form: EncodingForm;
  readonly request: CertificationRequest;
}

/** SEQUENCE; a C509 array begins with 8B or 87, the older sequence with its type. */
const sequenceOctet = 0x30;

/** Throws a `MalformedError` or an `UnsupportedError`. */
export function parseEitherCertificate(
  input: Uint8Array,
  decompress: PointDecompressor,
): EitherCertificate {
  if (input[0] === sequenceOctet) return { form: 'der', certificate: parseCertificate(input) };
  const { type, certificate } = parseC509Certificate(input, decompress);
  return { form: type === 3 ? 'reencoded' : 'native', certificate };
}

/** From the two parts that are stored of a certificate; DER, or the array of a natively signed one. */
export function completeEither(tbs: Uint8Array, signature: Uint8Array): Uint8Array {
  return tbs[0] === sequenceOctet
    ? completeCertificate(tbs, signature)
    : completeNative(tbs, signature);
}

/** Throws a `MalformedError` or an `UnsupportedError`. */
export function parseEitherRequest(
  input: Uint8Array,
  decompress: PointDecompressor,
): EitherRequest {
  if (input[0] === sequenceOctet) {
    return { form: 'der', request: parseCertificationRequest(input) };
  }
  const { type, request } = parseC509Request(input, decompress);
  return { form: type === 3 ? 'reencoded' : 'native', request };
}
