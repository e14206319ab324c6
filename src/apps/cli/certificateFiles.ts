/** Certificates in files as people have them: PEM, DER, C509, hexadecimal text of either. */
import { readFileSync, statSync } from 'node:fs';
import { decompressPoint } from '../../drivers/keys/software/points.ts';
import { parseHex } from '../../wire/bytes/hex.ts';
import { parseC509Certificate } from '../../wire/c509/certificate.ts';
import { parseCoseC509 } from '../../wire/c509/coseHeaders.ts';
import { parseCertificate } from '../../wire/x509/certificate.ts';
import type { Certificate } from '../../wire/x509/model.ts';
import { findPem } from '../../wire/x509/pem.ts';
import { CommandFailure, exitCodes } from './terminal.ts';

export interface CertificateInFile {
  readonly form: 'x509' | 'c509 type 2' | 'c509 type 3';
  /** DER, or the C509 array. */
  readonly encoded: Uint8Array;
  /** Its meaning, whichever form it has. */
  readonly certificate: Certificate;
}

const maximumFileBytes = 4_194_304;

/** Every certificate of the file, one at least. A chain is leaf first. */
export function readCertificates(file: string): CertificateInFile[] {
  if (statSync(file).size > maximumFileBytes) {
    throw new CommandFailure(`${file} is larger than ${maximumFileBytes} bytes`, exitCodes.usage);
  }
  return certificatesOf(new Uint8Array(readFileSync(file)), file);
}

/** DER of X.509 certificates, for places where C509 is of no use. */
export function readX509(files: readonly string[]): Uint8Array[] {
  return files.flatMap((file) =>
    readCertificates(file).map(({ form, encoded }) => {
      if (form === 'x509') return encoded;
      throw new CommandFailure(`${file} holds C509 where X.509 is asked for`, exitCodes.usage);
    }),
  );
}

function certificatesOf(bytes: Uint8Array, file: string): CertificateInFile[] {
  const [first = 0] = bytes;
  if (first === 0x30) return [fromX509(bytes)];
  // The array of eleven, the older sequence of its items, or byte strings around arrays.
  if (first === 0x8b || first === 2 || first === 3) return [fromC509(bytes)];
  if (first >= 0x40 && first < 0xa0 && !isText(bytes)) return parseCoseC509(bytes).map(fromC509);
  const text = new TextDecoder().decode(bytes);
  const hex = parseHex(text.replaceAll(/\s/g, ''));
  if (hex !== undefined && hex.length > 0) return certificatesOf(hex, file);
  const blocks = findPem(text).filter(({ label }) => label === 'CERTIFICATE');
  if (blocks.length === 0)
    throw new CommandFailure(`${file} holds no certificate`, exitCodes.usage);
  return blocks.map(({ der }) => fromX509(der));
}

function isText(bytes: Uint8Array): boolean {
  return bytes.every(
    (byte) => byte === 9 || byte === 10 || byte === 13 || (byte >= 32 && byte < 127),
  );
}

function fromX509(encoded: Uint8Array): CertificateInFile {
  return { form: 'x509', encoded, certificate: parseCertificate(encoded) };
}

function fromC509(input: Uint8Array): CertificateInFile {
  const { type, encoded, certificate } = parseC509Certificate(input, decompressPoint);
  return { form: `c509 type ${type}`, encoded, certificate };
}
