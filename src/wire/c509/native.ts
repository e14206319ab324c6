/**
 * Natively signed certificates (type 2): the signature covers the CBOR sequence of the ten items before
 * it. The key stays where it is: preparing gives the bytes to sign, `finish` takes the signature.
 */
import { concat } from '../bytes/bytes.ts';
import { CborReader } from '../cbor/reader.ts';
import * as cbor from '../cbor/writer.ts';
import { isPrintable } from '../der/writer.ts';
import { subjectAltName } from '../x509/extensions.ts';
import { hardwareModuleName } from '../x509/generalNames.ts';
import type { AlgorithmIdentifier, Extension, Name } from '../x509/model.ts';
import { encodeDeviceName, parseName } from '../x509/names.ts';
import {
  encodeAlgorithm,
  findAlgorithm,
  publicKeyAlgorithms,
  readAlgorithm,
  signatureAlgorithms,
} from './algorithms.ts';
import { type CertificateFields, encodeNotAfter, tbsItems } from './certificate.ts';
import { encodeExtension } from './extensions.ts';
import { encodeName, specialText } from './names.ts';
import { short } from './publicKey.ts';
import { encodeSignature, type SignatureForm, signatureForm } from './signature.ts';

/** Waits for its signature; spent by `finish`. */
export class UnsignedC509 {
  /** The signature's input: CBOR items with nothing around them. */
  readonly toBeSigned: Uint8Array;
  /** Head of the array: one byte, items are few. */
  readonly #arrayHead: Uint8Array;
  readonly #form: SignatureForm;
  #finished = false;

  constructor(toBeSigned: Uint8Array, arrayHead: Uint8Array, form: SignatureForm) {
    this.toBeSigned = toBeSigned;
    this.#arrayHead = arrayHead;
    this.#form = form;
  }

  /** The array. `signature` as X.509 has it: ECDSA-Sig-Value for ECDSA. */
  finish(signature: Uint8Array): Uint8Array {
    if (this.#finished) throw new TypeError('already signed');
    const item = encodeSignature(this.#form, signature, 2);
    this.#finished = true;
    return concat(this.#arrayHead, this.toBeSigned, item);
  }
}

const certificateHead = cbor.head(4, 11);

/** From the same values as an X.509 certificate. Throws an `UnsupportedError` for what C509 cannot say. */
export function prepareNativeCertificate(fields: CertificateFields): UnsignedC509 {
  const items = tbsItems(fields, 2, true);
  const form = signatureForm(fields.signatureAlgorithm);
  return new UnsignedC509(cbor.sequence(...items), certificateHead, form);
}

/**
 * The array from its two stored parts: the signature's algorithm stands in the signed one. Throws a
 * `MalformedError` when that is no sequence of a certificate.
 */
export function completeNative(toBeSigned: Uint8Array, signature: Uint8Array): Uint8Array {
  const reader = new CborReader(toBeSigned);
  reader.integer();
  reader.bytes();
  const form = signatureForm(readAlgorithm(reader, signatureAlgorithms));
  return new UnsignedC509(toBeSigned, certificateHead, form).finish(signature);
}

/** What all certificates of one profile and issuer have in common. */
export interface NativeTemplateParts {
  readonly signatureAlgorithm: AlgorithmIdentifier;
  readonly issuer: Name;
  /** That of P-256 keys, for example. */
  readonly publicKeyAlgorithm: AlgorithmIdentifier;
  /** Extensions that never change; they stand first. */
  readonly extensions: readonly Extension[];
  /** How many extensions each certificate adds. */
  readonly furtherExtensions: number;
}

export interface NativeTemplateFields {
  /** Magnitude, most significant byte first. */
  readonly serialNumber: Uint8Array;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** CBOR item of the name: `nativeDeviceName`. Never the issuer's own name. */
  readonly subject: Uint8Array;
  /** Content of the BIT STRING: an uncompressed point is compressed. */
  readonly publicKey: Uint8Array;
  /** CBOR items, identifier and value each: `nativeHardwareModuleName`. */
  readonly extensions: readonly Uint8Array[];
}

/** The fast path of issuing: what a profile fixes is encoded once, the rest put between. */
export function compileNativeTemplate(
  parts: NativeTemplateParts,
): (fields: NativeTemplateFields) => UnsignedC509 {
  const { signatureAlgorithm, publicKeyAlgorithm, extensions, furtherExtensions } = parts;
  const algorithmAndIssuer = concat(
    encodeAlgorithm(signatureAlgorithms, signatureAlgorithm),
    encodeName(parts.issuer, 2),
  );
  const typeItem = cbor.integer(2);
  const usualSerialPrefix = concat(typeItem, cbor.head(2, usualSerialBytes));
  const keyAlgorithm = encodeAlgorithm(publicKeyAlgorithms, publicKeyAlgorithm);
  const known = findAlgorithm(publicKeyAlgorithms, publicKeyAlgorithm);
  const fixedExtensions = concat(
    cbor.head(4, 2 * (extensions.length + furtherExtensions)),
    ...extensions.flatMap((extension) => encodeExtension(extension, 2)),
  );
  const form = signatureForm(signatureAlgorithm);
  const validity = latestValidity();
  return (fields) => {
    if (fields.extensions.length !== furtherExtensions) {
      throw new TypeError(`${furtherExtensions} further extensions announced`);
    }
    const serialNumber =
      fields.serialNumber[0] === 0 ? fields.serialNumber.subarray(1) : fields.serialNumber;
    const usual = serialNumber.length === usualSerialBytes;
    const toBeSigned = concat(
      usual ? usualSerialPrefix : concat(typeItem, cbor.head(2, serialNumber.length)),
      serialNumber,
      algorithmAndIssuer,
      validity(fields.notBeforeMs, fields.notAfterMs),
      fields.subject,
      keyAlgorithm,
      cbor.bytes(short(fields.publicKey, 2, known)),
      fixedExtensions,
      ...fields.extensions,
    );
    return new UnsignedC509(toBeSigned, certificateHead, form);
  };
}

/** 128 random bits. */
const usualSerialBytes = 16;

/** Subjects `O=organization, serialNumber=…` (IEEE 802.1AR) as CBOR items. */
export function nativeDeviceName(organization: string): (serialNumber: string) => Uint8Array {
  const placeholder = 'x';
  const whole = encodeName(parseName(encodeDeviceName(organization, placeholder)), 2);
  const prefix = whole.slice(0, whole.length - specialText(placeholder).length);
  return (serialNumber) => {
    if (!isPrintable(serialNumber)) throw new TypeError('the serial number is no PrintableString');
    return concat(prefix, specialText(serialNumber));
  };
}

/** Extensions subjectAltName with the hardwareModuleName (RFC 4108 §5) of one kind of hardware. */
export function nativeHardwareModuleName(hwType: string): (hwSerialNum: Uint8Array) => Uint8Array {
  const empty = subjectAltName([hardwareModuleName({ hwType, hwSerialNum: new Uint8Array(0) })]);
  const whole = concat(...encodeExtension(empty, 2));
  // The serial number is the last item of all, here an empty byte string.
  const prefix = whole.slice(0, -1);
  return (hwSerialNum) => concat(prefix, cbor.bytes(hwSerialNum));
}

/** The items of a subject key identifier. */
export function nativeSubjectKeyIdentifier(identifier: Uint8Array): Uint8Array {
  return concat(subjectKeyIdentifierId, cbor.bytes(identifier));
}

const subjectKeyIdentifierId = cbor.integer(1);

/** Certificates of one batch share their dates: the last encoding is kept. */
function latestValidity(): (notBeforeMs: number, notAfterMs: number) => Uint8Array {
  let latest: { notBeforeMs: number; notAfterMs: number; encoding: Uint8Array } | undefined;
  return (notBeforeMs, notAfterMs) => {
    if (latest?.notBeforeMs !== notBeforeMs || latest.notAfterMs !== notAfterMs) {
      const notBefore = cbor.integer(Math.floor(notBeforeMs / 1000));
      const encoding = concat(notBefore, encodeNotAfter(notAfterMs));
      latest = { notBeforeMs, notAfterMs, encoding };
    }
    return latest.encoding;
  };
}
