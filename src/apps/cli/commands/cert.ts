/** `birthmark cert`: what a certificate says, and X.509 to C509 and back. */
import { hash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import type { Command } from 'commander';
import { decompressPoint } from '../../../drivers/keys/software/points.ts';
import { toHex } from '../../../wire/bytes/hex.ts';
import { UnsupportedError } from '../../../wire/bytes/malformed.ts';
import { c509FromX509, x509FromC509 } from '../../../wire/c509/convert.ts';
import { encodePem } from '../../../wire/x509/pem.ts';
import { printName } from '../../../wire/x509/names.ts';
import { describeExtension, describeKey, describeTime } from '../certificateText.ts';
import { type CertificateInFile, readCertificates } from '../certificateFiles.ts';
import { CommandFailure, exitCodes, type OutputOptions, print, table } from '../terminal.ts';

interface ConvertOptions extends OutputOptions {
  readonly to?: string;
  readonly out?: string;
}

export function registerCert(program: Command): void {
  const cert = program.command('cert').description('Certificates in X.509 and in C509');
  cert
    .command('convert')
    .description('X.509 to C509 and back, bit for bit, with the sizes')
    .argument('<file>', 'PEM, DER, C509, or hexadecimal text of either')
    .option('--to <form>', 'c509 or x509; by default the other one')
    .option('--out <file>', 'where to write it; .pem for PEM')
    .option('--json', 'one JSON document on stdout')
    .addHelpText(
      'after',
      `
Examples:
  birthmark cert convert device.pem
  birthmark cert convert device.pem --out device.c509
  birthmark cert convert device.c509 --to x509 --out device.pem

What C509 cannot give back bit for bit is refused with the reason. A natively signed certificate
(type 2) has no X.509 form: its signature covers CBOR.`,
    )
    .action(convert);
  cert
    .command('show')
    .description('What the certificates of a file say')
    .argument('<file>', 'PEM, DER, C509, or hexadecimal text of either')
    .option('--json', 'one JSON document on stdout')
    .addHelpText(
      'after',
      `
Examples:
  birthmark cert show device.pem
  birthmark cert show device.c509 --json`,
    )
    .action(show);
}

interface Conversion {
  readonly subject: string;
  readonly to: 'c509' | 'x509';
  readonly x509Bytes: number;
  readonly c509Bytes: number;
  readonly result: Uint8Array;
}

function convert(file: string, options: ConvertOptions): void {
  const { to, out } = options;
  if (to !== undefined && to !== 'c509' && to !== 'x509') {
    throw new CommandFailure('--to takes c509 or x509', exitCodes.usage);
  }
  const certificates = readCertificates(file);
  if (out !== undefined && certificates.length > 1) {
    throw new CommandFailure(`--out takes one certificate, ${file} holds several`, exitCodes.usage);
  }
  const conversions = certificates.map((certificate) => converted(certificate, to));
  const [only] = conversions;
  if (out !== undefined && only !== undefined) writeFileSync(out, fileContent(only, out));
  const documents = conversions.map(({ result, ...sizes }) => ({
    ...sizes,
    result: toHex(result),
  }));
  print(options, { file, ...(out === undefined ? {} : { out }), certificates: documents }, [
    ...table([
      ['X.509', 'C509', '', 'subject'],
      ...conversions.map(({ x509Bytes, c509Bytes, subject }) => [
        String(x509Bytes),
        String(c509Bytes),
        `${((100 * c509Bytes) / x509Bytes).toFixed(0)} %`,
        subject,
      ]),
    ]),
    ...(out === undefined
      ? conversions.map(({ to: form, result }) => `${form}: ${toHex(result)}`)
      : [`Written to ${out}.`]),
  ]);
}

function converted(
  { form, encoded, certificate }: CertificateInFile,
  to: string | undefined,
): Conversion {
  const subject = printName(certificate.subject);
  const other = form === 'x509' ? 'c509' : 'x509';
  try {
    const result =
      other === 'c509'
        ? c509FromX509(encoded, decompressPoint)
        : x509FromC509(encoded, decompressPoint);
    const [x509, c509] = other === 'c509' ? [encoded, result] : [result, encoded];
    return {
      subject,
      to: to === 'c509' || to === 'x509' ? to : other,
      x509Bytes: x509.length,
      c509Bytes: c509.length,
      result: (to ?? other) === other ? result : encoded,
    };
  } catch (error) {
    if (!(error instanceof UnsupportedError)) throw error;
    throw new CommandFailure(`${subject}: ${error.message}`);
  }
}

function fileContent({ to, result }: Conversion, out: string): Uint8Array | string {
  return to === 'x509' && out.endsWith('.pem') ? encodePem('CERTIFICATE', result) : result;
}

function show(file: string, options: OutputOptions): void {
  const documents = readCertificates(file).map(documentOf);
  print(
    options,
    { file, certificates: documents },
    documents.flatMap((document, index) => [...(index === 0 ? [] : ['']), ...linesOf(document)]),
  );
}

type CertificateDocument = ReturnType<typeof documentOf>;

function documentOf({ form, encoded, certificate }: CertificateInFile) {
  return {
    form,
    bytes: encoded.length,
    other: otherSize(form, encoded),
    subject: printName(certificate.subject),
    issuer: printName(certificate.issuer),
    serialNumber: toHex(certificate.serialNumber),
    notBefore: describeTime(certificate.notBeforeMs),
    notAfter: describeTime(certificate.notAfterMs),
    publicKey: describeKey(certificate.publicKey),
    signatureAlgorithm: certificate.signatureAlgorithm.oid,
    extensions: certificate.extensions.map(describeExtension),
    // Of the encoding that is here: x5t for DER, c5t for the C509 array.
    sha256: hash('sha256', encoded, 'hex'),
  };
}

/** Bytes in the other form, or why there is none. */
function otherSize(form: CertificateInFile['form'], encoded: Uint8Array): number | string {
  try {
    return form === 'x509'
      ? c509FromX509(encoded, decompressPoint).length
      : x509FromC509(encoded, decompressPoint).length;
  } catch (error) {
    if (error instanceof UnsupportedError) return error.message;
    throw error;
  }
}

function linesOf(document: CertificateDocument): string[] {
  const { form, bytes, other } = document;
  const otherForm = form === 'x509' ? 'C509' : 'X.509';
  return table([
    ['form', `${form}, ${bytes} bytes`],
    [otherForm, typeof other === 'number' ? `${other} bytes` : `none: ${other}`],
    ['subject', document.subject],
    ['issuer', document.issuer],
    ['serial number', document.serialNumber],
    ['valid', `${document.notBefore} to ${document.notAfter}`],
    ['public key', document.publicKey],
    ['signature', document.signatureAlgorithm],
    ...document.extensions.map(({ name, critical, value }) => [
      name,
      critical ? `critical: ${value}` : value,
    ]),
    ['SHA-256', document.sha256],
  ]);
}
