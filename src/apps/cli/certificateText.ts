/** Parts of certificates in words, for a person who looks at one. */
import { toHex } from '../../wire/bytes/hex.ts';
import { MalformedError } from '../../wire/bytes/malformed.ts';
import { noExpirationMs } from '../../wire/der/time.ts';
import {
  decodeAuthorityKeyIdentifier,
  decodeBasicConstraints,
  decodeExtKeyUsage,
  decodeKeyUsage,
  decodeNameConstraints,
  decodeSubjectAltName,
  decodeSubjectKeyIdentifier,
  extensionOids,
  keyPurposes,
} from '../../wire/x509/extensions.ts';
import {
  addressText,
  findHardwareModuleName,
  type GeneralName,
} from '../../wire/x509/generalNames.ts';
import type { Extension, PublicKeyInfo } from '../../wire/x509/model.ts';
import { printName } from '../../wire/x509/names.ts';
import { namedCurve } from '../../wire/x509/spki.ts';

export interface ExtensionText {
  /** Name of the standard, or the dotted identifier. */
  readonly name: string;
  readonly critical: boolean;
  readonly value: string;
}

export function describeTime(timeMs: number): string {
  return timeMs === noExpirationMs ? 'no end' : new Date(timeMs).toISOString().replace('.000', '');
}

export function describeKey(publicKey: PublicKeyInfo): string {
  const curve = namedCurve(publicKey);
  return curve ?? `${publicKey.algorithm.oid}, ${publicKey.key.length} bytes`;
}

export function describeExtension({ oid, critical, value }: Extension): ExtensionText {
  const name = extensionNames.get(oid) ?? oid;
  return { name, critical, value: valueText(oid, value) };
}

const extensionNames: ReadonlyMap<string, string> = new Map(
  Object.entries(extensionOids).map(([name, oid]) => [oid, name]),
);
const purposeNames: ReadonlyMap<string, string> = new Map(
  Object.entries(keyPurposes).map(([name, oid]) => [oid, name]),
);

function valueText(oid: string, value: Uint8Array): string {
  try {
    return knownValue(oid, value) ?? `${value.length} bytes`;
  } catch (error) {
    // Shown all the same: whether it may be so is for whoever verifies.
    if (error instanceof MalformedError) return `malformed: ${toHex(value)}`;
    throw error;
  }
}

function knownValue(oid: string, value: Uint8Array): string | undefined {
  switch (oid) {
    case extensionOids.basicConstraints: {
      const { ca, pathLength } = decodeBasicConstraints(value);
      if (!ca) return 'no authority';
      return pathLength === undefined ? 'authority' : `authority, path length ${pathLength}`;
    }
    case extensionOids.keyUsage:
      return [...decodeKeyUsage(value)].join(', ');
    case extensionOids.extKeyUsage:
      return decodeExtKeyUsage(value)
        .map((purpose) => purposeNames.get(purpose) ?? purpose)
        .join(', ');
    case extensionOids.subjectAltName:
      return decodeSubjectAltName(value).map(nameText).join(', ');
    case extensionOids.subjectKeyIdentifier:
      return toHex(decodeSubjectKeyIdentifier(value));
    case extensionOids.authorityKeyIdentifier:
      return toHex(decodeAuthorityKeyIdentifier(value) ?? new Uint8Array());
    case extensionOids.nameConstraints: {
      const { permitted, excluded } = decodeNameConstraints(value);
      return `permitted: ${listText(permitted)}; excluded: ${listText(excluded)}`;
    }
    default:
      return undefined;
  }
}

function listText(names: readonly GeneralName[]): string {
  return names.length === 0 ? 'none' : names.map(nameText).join(', ');
}

function nameText(name: GeneralName): string {
  switch (name.kind) {
    case 'otherName': {
      const module = findHardwareModuleName([name]);
      if (module === undefined) return `otherName ${name.typeId}`;
      return `hardware ${module.hwType} ${toHex(module.hwSerialNum)}`;
    }
    case 'directoryName':
      return printName(name.name);
    case 'iPAddress':
      return `IP ${addressText(name.address) ?? toHex(name.address)}`;
    case 'registeredID':
      return name.oid;
    case 'unread':
      return `[${name.tagNumber}]`;
    case 'rfc822Name':
    case 'dNSName':
    case 'uniformResourceIdentifier':
      return name.text === '' ? `every ${name.kind}` : JSON.stringify(name.text);
  }
}
