/**
 * Microchip's compressed certificate: the 72 bytes that an ATECC keeps of a certificate of about 500.
 * Signature, dates to the hour, which signer, which template; the rest follows from keys, from the
 * chip's serial number and from the template.
 */
import { concat, equal } from '../bytes/bytes.ts';
import { toHex } from '../bytes/hex.ts';
import { MalformedError, UnsupportedError } from '../bytes/malformed.ts';
import { utf8 } from '../bytes/utf8.ts';
import type { Crypto } from '../crypto/crypto.ts';
import { derSignature, fixedSignature } from '../der/ecdsa.ts';
import { generalizedTimeText, parseGeneralizedTime } from '../der/time.ts';
import { bitString, sequence } from '../der/writer.ts';
import { encodeSignatureAlgorithm, signatureAlgorithmOids } from '../x509/algorithms.ts';
import { parseCertificate } from '../x509/certificate.ts';
import {
  type CertificateTemplate,
  type Place,
  signerIdOf,
  templateFrom,
} from './certificateTemplate.ts';

export const compressedBytes = 72;

/** What a reader of the chip knows besides the 72 bytes. */
export interface CertificateInputs {
  /** 9 bytes; empty for a signer. */
  readonly chipSerial: Uint8Array;
  /** Uncompressed P-256 points of 65 bytes: of the certificate itself and of who signed it. */
  readonly publicKey: Uint8Array;
  readonly authorityKey: Uint8Array;
}

/**
 * Where the serial number comes from. `chip`: 40‖chip serial. `signer`: 40‖signer ID. `key-and-dates`:
 * SHA-256(X‖Y‖dates). `chip-and-dates`: SHA-256(chip serial‖dates). Hashes are cut to 16 bytes and made
 * positive, top bits 01.
 */
export type SerialSource = 'chip' | 'signer' | 'key-and-dates' | 'chip-and-dates';

const serialSources: Readonly<Record<SerialSource, number>> = {
  chip: 0x8,
  signer: 0x9,
  'key-and-dates': 0xa,
  'chip-and-dates': 0xb,
};

export interface CompressedLabel {
  /** 0 to 15 each. */
  readonly templateId: number;
  readonly chainId: number;
  readonly serialSource: SerialSource;
}

const format = 'compressed certificate';

/**
 * The 72 bytes of a certificate. What could not be rebuilt from them byte for byte is refused with an
 * `UnsupportedError`: dates off the hour, lives that are not whole years, another serial number rule.
 */
export function compressCertificate(
  der: Uint8Array,
  label: CompressedLabel,
  inputs: Omit<CertificateInputs, 'publicKey'>,
  crypto: Crypto,
): Uint8Array {
  const { templateId, chainId, serialSource } = label;
  for (const id of [templateId, chainId]) {
    if (!Number.isInteger(id) || id < 0 || id > 15)
      throw new TypeError(`${id} is no template or chain`);
  }
  const certificate = parseCertificate(der);
  if (certificate.signatureAlgorithm.oid !== signatureAlgorithmOids['ecdsa-with-SHA256']) {
    throw new UnsupportedError(format, 'a signature other than ECDSA with SHA-256');
  }
  const template = templateFrom(der, inputs.chipSerial);
  const dates = compressDates(dateText(template, 'notBefore'), dateText(template, 'notAfter'));
  const signerId = Number.parseInt(String.fromCharCode(...signerIdOf(certificate)), 16);
  const compressed = concat(
    fixedSignature(certificate.signature, 32),
    dates.subarray(0, 3),
    Uint8Array.of(signerId >> 8, signerId & 255),
    Uint8Array.of((templateId << 4) | chainId),
    Uint8Array.of((serialSources[serialSource] << 4) | (dates[3] === 0 ? 0 : 1)),
    dates.subarray(3),
  );
  const publicKey = certificate.publicKey.key;
  if (!equal(rebuildCertificate(template, compressed, { ...inputs, publicKey }, crypto), der)) {
    throw new UnsupportedError(format, 'a certificate that does not follow its own template');
  }
  return compressed;
}

/** The certificate, DER. Throws a `MalformedError` for bytes that no certificate compresses to. */
export function rebuildCertificate(
  template: CertificateTemplate,
  compressed: Uint8Array,
  inputs: CertificateInputs,
  crypto: Crypto,
): Uint8Array {
  if (compressed.length !== compressedBytes) fail(0, `not ${compressedBytes} bytes`);
  if ((compressed[70] ?? 0) % 16 > 1) {
    throw new UnsupportedError(format, `format version ${(compressed[70] ?? 0) % 16}`);
  }
  const { tbs, der } = template.example;
  const tbsOffset = tbs.byteOffset - der.byteOffset;
  const built = tbs.slice();
  const put = (place: Place | undefined, value: Uint8Array): void => {
    if (place === undefined) return;
    if (value.length !== place.length) throw new TypeError('a value does not fit the template');
    built.set(value, place.offset - tbsOffset);
  };
  const keyId = (point: Uint8Array): Uint8Array => crypto.hash('SHA-1', point);
  const { notBefore, notAfter } = expandDates(compressed);
  const serial = certificateSerial(compressed, inputs, crypto);
  if (serial.length !== template.serialNumber.length) {
    throw new UnsupportedError(format, 'a serial source that the template has no room for');
  }
  put(template.serialNumber, serial);
  put(template.notBefore, utf8(notBefore).subarray(-template.notBefore.length));
  put(template.notAfter, utf8(notAfter).subarray(-template.notAfter.length));
  put(template.signerId, utf8(toHex(compressed.subarray(67, 69)).toUpperCase()));
  for (const place of template.chipSerials) {
    put(place, utf8(toHex(inputs.chipSerial).toUpperCase()));
  }
  put(template.publicKey, inputs.publicKey);
  put(template.subjectKeyId, keyId(inputs.publicKey));
  put(template.authorityKeyId, keyId(inputs.authorityKey));
  const signature = derSignature(compressed.subarray(0, 64));
  return sequence(built, encodeSignatureAlgorithm('ecdsa-with-SHA256'), bitString(signature));
}

/** The serial number that the rule named in the 72 bytes gives: content octets of the INTEGER. */
export function certificateSerial(
  compressed: Uint8Array,
  { chipSerial, publicKey }: Pick<CertificateInputs, 'chipSerial' | 'publicKey'>,
  crypto: Crypto,
): Uint8Array {
  const extended = (compressed[70] ?? 0) % 16 === 0 ? [] : [(compressed[71] ?? 0) & 0xf0];
  const dates = concat(compressed.subarray(64, 67), Uint8Array.from(extended));
  switch ((compressed[70] ?? 0) >> 4) {
    case serialSources.chip:
      return concat(Uint8Array.of(0x40), chipSerial);
    case serialSources.signer:
      return concat(Uint8Array.of(0x40), compressed.subarray(67, 69));
    case serialSources['key-and-dates']:
      return hashedSerial(concat(publicKey.subarray(1), dates), crypto);
    case serialSources['chip-and-dates']:
      return hashedSerial(concat(chipSerial, dates), crypto);
    default:
      throw new UnsupportedError(format, `serial source ${(compressed[70] ?? 0) >> 4}`);
  }
}

/**
 * The serial number of source `key-and-dates` before there is a certificate: 16 octets. Throws an
 * `UnsupportedError` for dates that 72 bytes cannot say.
 */
export function serialOfKeyAndDates(
  publicKey: Uint8Array,
  period: { readonly notBeforeMs: number; readonly notAfterMs: number },
  crypto: Crypto,
): Uint8Array {
  const [notBefore, notAfter] = [period.notBeforeMs, period.notAfterMs].map(generalizedTimeText);
  const dates = compressDates(notBefore ?? '', notAfter ?? '');
  // The fourth byte is hashed where it is there: in the extended format.
  const hashed = dates[3] === 0 ? dates.subarray(0, 3) : dates;
  return hashedSerial(concat(publicKey.subarray(1), hashed), crypto);
}

function hashedSerial(input: Uint8Array, crypto: Crypto): Uint8Array {
  const serial = crypto.hash('SHA-256', input).slice(0, 16);
  serial[0] = ((serial[0] ?? 0) & 0x3f) | 0x40;
  return serial;
}

/** YYYYMMDDHHMMSSZ, whichever of the two forms the certificate has. */
function dateText(
  { example, ...places }: CertificateTemplate,
  name: 'notBefore' | 'notAfter',
): string {
  const { offset, length } = places[name];
  const text = String.fromCharCode(...example.der.subarray(offset, offset + length));
  return length === 15 ? text : (text < '50' ? '20' : '19') + text;
}

/** 24 bits: year from 2000 (5), month (4), day (5), hour (5), years of life (5); then the high bits of both years. */
function compressDates(notBefore: string, notAfter: string): Uint8Array {
  const [year = 0, month = 0, day = 0, hour = 0] = fieldsOf(notBefore);
  const lifeYears = notAfter === noExpiry ? 0 : (fieldsOf(notAfter)[0] ?? 0) - year;
  const wholeYears = lifeYears === 0 || notAfter.slice(4) === notBefore.slice(4);
  if (!wholeYears || !notBefore.endsWith('0000Z') || (lifeYears === 0 && notAfter !== noExpiry)) {
    throw new UnsupportedError(format, 'a life that is not whole years from a full hour');
  }
  const sinceYear = year - 2000;
  if (sinceYear < 0 || sinceYear > 127 || lifeYears < 0 || lifeYears > 127) {
    throw new UnsupportedError(format, 'a date that does not fit');
  }
  const bits =
    ((sinceYear & 31) << 19) | (month << 15) | (day << 10) | (hour << 5) | (lifeYears & 31);
  const high = ((sinceYear >> 5) << 6) | ((lifeYears >> 5) << 4);
  return Uint8Array.of(bits >> 16, (bits >> 8) & 255, bits & 255, high);
}

function expandDates(compressed: Uint8Array): { notBefore: string; notAfter: string } {
  const [first = 0, second = 0, third = 0] = compressed.subarray(64, 67);
  const bits = (first << 16) | (second << 8) | third;
  const high = compressed[71] ?? 0;
  // Reserved bits, and the whole byte in format 0.
  if ((high & 0x0f) !== 0 || ((compressed[70] ?? 0) % 16 === 0 && high !== 0)) {
    fail(71, 'reserved bits are not zero');
  }
  const year = 2000 + (((high >> 6) << 5) | (bits >> 19));
  const lifeYears = (((high >> 4) & 3) << 5) | (bits & 31);
  const rest = [(bits >> 15) & 15, (bits >> 10) & 31, (bits >> 5) & 31].map(twoDigits).join('');
  const notBefore = `${year}${rest}0000Z`;
  const notAfter = lifeYears === 0 ? noExpiry : `${year + lifeYears}${rest}0000Z`;
  // 29 February plus a number of years may be no day at all.
  if (
    parseGeneralizedTime(notBefore) === undefined ||
    parseGeneralizedTime(notAfter) === undefined
  ) {
    fail(64, 'no such date');
  }
  return { notBefore, notAfter };
}

const noExpiry = '99991231235959Z';

function fieldsOf(text: string): number[] {
  return [text.slice(0, 4), text.slice(4, 6), text.slice(6, 8), text.slice(8, 10)].map(Number);
}

function twoDigits(value: number): string {
  return String(value).padStart(2, '0');
}

function fail(offset: number, problem: string): never {
  throw new MalformedError(format, offset, problem);
}
