/**
 * The fast path of issuing: what a profile fixes under one issuer is encoded once, the rest is put
 * between. Results are the same bytes as those of `certificateWriter.ts`, at a small part of the price.
 */
import { concat } from '../bytes/bytes.ts';
import { fromUtf8, utf8 } from '../bytes/utf8.ts';
import { tags } from '../der/tags.ts';
import { element, isPrintable, unsignedInteger } from '../der/writer.ts';
import { encodeValidity, version3, wrappedExtensions } from './certificateWriter.ts';
import { encodeExtension, subjectAltName, subjectKeyIdentifier } from './extensions.ts';
import { hardwareModuleName } from './generalNames.ts';
import { encodeDeviceName } from './names.ts';

/** What all certificates of one profile and issuer have in common, as DER. */
export interface TemplateParts {
  /** AlgorithmIdentifier. */
  readonly signatureAlgorithm: Uint8Array;
  /** Name. */
  readonly issuer: Uint8Array;
  /** Extension elements that never change; they stand first. */
  readonly extensions: readonly Uint8Array[];
}

export interface TemplateFields {
  /** Magnitude, most significant byte first. */
  readonly serialNumber: Uint8Array;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** DER of Name. */
  readonly subject: Uint8Array;
  /** DER of SubjectPublicKeyInfo. */
  readonly spki: Uint8Array;
  /** Extension elements of this certificate; they stand after the template's. */
  readonly extensions: readonly Uint8Array[];
}

/** An encoder of TBSCertificate for one profile. */
export function compileTemplate(parts: TemplateParts): (fields: TemplateFields) => Uint8Array {
  const algorithmAndIssuer = concat(parts.signatureAlgorithm, parts.issuer);
  const fixedExtensions = concat(...parts.extensions);
  const validity = latestValidity();
  return (fields) =>
    element(
      tags.sequence,
      version3,
      unsignedInteger(fields.serialNumber),
      algorithmAndIssuer,
      validity(fields.notBeforeMs, fields.notAfterMs),
      fields.subject,
      fields.spki,
      ...wrappedExtensions([fixedExtensions, ...fields.extensions]),
    );
}

/** Subjects `O=organization, serialNumber=…` (IEEE 802.1AR). The serial number is PrintableString text. */
export function deviceNameEncoder(organization: string): (serialNumber: string) => Uint8Array {
  const encode = endingIn((text) => encodeDeviceName(organization, fromUtf8(text) ?? ''));
  return (serialNumber) => {
    if (!isPrintable(serialNumber)) throw new TypeError('the serial number is no PrintableString');
    return encode(utf8(serialNumber));
  };
}

/** Extensions subjectAltName with the hardwareModuleName (RFC 4108 §5) of one kind of hardware. */
export function hardwareModuleNameEncoder(hwType: string): (hwSerialNum: Uint8Array) => Uint8Array {
  return endingIn((hwSerialNum) =>
    encodeExtension(subjectAltName([hardwareModuleName({ hwType, hwSerialNum })])),
  );
}

export function subjectKeyIdentifierEncoder(): (identifier: Uint8Array) => Uint8Array {
  return endingIn((identifier) => encodeExtension(subjectKeyIdentifier(identifier)));
}

/** Values longer than this are encoded as they come, so that the memory of an encoder stays small. */
const longestRemembered = 64;

/**
 * An encoder of a structure that ends in its only variable field. In DER everything before that field
 * depends on the field's length alone, so it is kept for each length met.
 */
function endingIn(encode: (value: Uint8Array) => Uint8Array): (value: Uint8Array) => Uint8Array {
  const prefixes = new Map<number, Uint8Array>();
  return (value) => {
    const known = prefixes.get(value.length);
    if (known !== undefined) return concat(known, value);
    const encoding = encode(value);
    if (value.length <= longestRemembered) {
      prefixes.set(value.length, encoding.slice(0, encoding.length - value.length));
    }
    return encoding;
  };
}

/** Certificates of one batch share their dates: the last encoding is kept. */
function latestValidity(): (notBeforeMs: number, notAfterMs: number) => Uint8Array {
  let latest: { notBeforeMs: number; notAfterMs: number; encoding: Uint8Array } | undefined;
  return (notBeforeMs, notAfterMs) => {
    if (latest?.notBeforeMs !== notBeforeMs || latest.notAfterMs !== notAfterMs) {
      latest = { notBeforeMs, notAfterMs, encoding: encodeValidity(notBeforeMs, notAfterMs) };
    }
    return latest.encoding;
  };
}
