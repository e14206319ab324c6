/** GeneralName (RFC 5280 §4.2.1.6): alternative names, constraints, places where things are published. */
import { type DerReader, readDer } from '../der/reader.ts';
import { contextConstructed, contextPrimitive } from '../der/tags.ts';
import * as der from '../der/writer.ts';
import type { Name } from './model.ts';
import { readName } from './names.ts';

export type GeneralName =
  | { readonly kind: 'otherName'; readonly typeId: string; readonly value: Uint8Array }
  | { readonly kind: 'rfc822Name'; readonly text: string }
  | { readonly kind: 'dNSName'; readonly text: string }
  | { readonly kind: 'directoryName'; readonly name: Name }
  | { readonly kind: 'uniformResourceIdentifier'; readonly text: string }
  /** 4 or 16 bytes; in a constraint twice as many, the mask behind the address. */
  | { readonly kind: 'iPAddress'; readonly address: Uint8Array }
  | { readonly kind: 'registeredID'; readonly oid: string }
  /** x400Address and ediPartyName, which nobody uses: kept as DER. */
  | { readonly kind: 'unread'; readonly tagNumber: number; readonly encoding: Uint8Array };

export type GeneralNameKind = GeneralName['kind'];

/** RFC 4108 §5: which hardware a key lives in. */
export interface HardwareModuleName {
  /** Dotted OID of the kind of hardware. */
  readonly hwType: string;
  readonly hwSerialNum: Uint8Array;
}

/** id-on-hardwareModuleName. */
export const hardwareModuleNameOid = '1.3.6.1.5.5.7.8.4';

export function readGeneralName(reader: DerReader): GeneralName {
  const tag = reader.peek() ?? reader.fail('GeneralName missing');
  switch (tag) {
    case contextConstructed(0):
      return reader.constructed(tag, (content) => {
        const typeId = content.oid();
        const value = content.constructed(contextConstructed(0), (field) => field.element());
        return { kind: 'otherName', typeId, value };
      });
    case contextPrimitive(1):
      return { kind: 'rfc822Name', text: reader.ia5String(tag) };
    case contextPrimitive(2):
      return { kind: 'dNSName', text: reader.ia5String(tag) };
    case contextConstructed(4):
      // Name is a CHOICE, so its tag is explicit (X.680 §31.2.7).
      return { kind: 'directoryName', name: reader.constructed(tag, readName) };
    case contextPrimitive(6):
      return { kind: 'uniformResourceIdentifier', text: reader.ia5String(tag) };
    case contextPrimitive(7):
      return { kind: 'iPAddress', address: reader.octetString(tag) };
    case contextPrimitive(8):
      return { kind: 'registeredID', oid: reader.oid(tag) };
    case contextConstructed(3):
    case contextConstructed(5):
      return { kind: 'unread', tagNumber: tag & 31, encoding: reader.element() };
    default:
      return reader.fail('unknown kind of GeneralName');
  }
}

export function encodeGeneralName(name: GeneralName): Uint8Array {
  switch (name.kind) {
    case 'otherName':
      return der.implicit(0, der.sequence(der.oid(name.typeId), der.explicit(0, name.value)));
    case 'rfc822Name':
      return der.implicit(1, der.ia5String(name.text));
    case 'dNSName':
      return der.implicit(2, der.ia5String(name.text));
    case 'directoryName':
      return der.explicit(4, name.name.der);
    case 'uniformResourceIdentifier':
      return der.implicit(6, der.ia5String(name.text));
    case 'iPAddress':
      return der.implicit(7, der.octetString(name.address));
    case 'registeredID':
      return der.implicit(8, der.oid(name.oid));
    case 'unread':
      return name.encoding;
  }
}

export function hardwareModuleName(module: HardwareModuleName): GeneralName {
  const value = der.sequence(der.oid(module.hwType), der.octetString(module.hwSerialNum));
  return { kind: 'otherName', typeId: hardwareModuleNameOid, value };
}

/** The first hardwareModuleName among the names; throws a `MalformedError` when it is not of its type. */
export function findHardwareModuleName(
  names: readonly GeneralName[],
): HardwareModuleName | undefined {
  for (const name of names) {
    if (name.kind !== 'otherName' || name.typeId !== hardwareModuleNameOid) continue;
    return readDer(name.value, (reader) =>
      reader.sequence((content) => ({
        hwType: content.oid(),
        hwSerialNum: content.octetString(),
      })),
    );
  }
  return undefined;
}

/** `10.0.0.1`, `2001:db8:0:0:0:0:0:1`; for lengths that are no address, `undefined`. */
export function addressText(address: Uint8Array): string | undefined {
  if (address.length === 4) return address.join('.');
  if (address.length !== 16) return undefined;
  const groups = Array.from({ length: 8 }, (_, index) =>
    (((address[index * 2] ?? 0) << 8) | (address[index * 2 + 1] ?? 0)).toString(16),
  );
  return groups.join(':');
}

/** Bytes of an IPv4 or IPv6 address; `undefined` when the text is neither. Zone identifiers are no part of it. */
export function parseAddress(text: string): Uint8Array | undefined {
  return text.includes(':') ? parseIpv6(text) : parseIpv4(text);
}

function parseIpv4(text: string): Uint8Array | undefined {
  const parts = text.split('.');
  const valid = parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) < 256);
  return parts.length === 4 && valid ? Uint8Array.from(parts, Number) : undefined;
}

function parseIpv6(text: string): Uint8Array | undefined {
  const [head = '', tail, ...more] = text.split('::');
  if (more.length > 0) return undefined;
  const front = ipv6Bytes(head);
  const back = ipv6Bytes(tail ?? '');
  if (front === undefined || back === undefined) return undefined;
  const missing = 16 - front.length - back.length;
  // RFC 4291 §2.2: `::` stands for at least one group, and without it none may be missing.
  if (tail === undefined ? missing !== 0 : missing < 2) return undefined;
  return Uint8Array.from([...front, ...new Uint8Array(missing), ...back]);
}

function ipv6Bytes(text: string): readonly number[] | undefined {
  if (text === '') return [];
  const groups = text.split(':');
  const last = groups.at(-1) ?? '';
  const ipv4 = last.includes('.') ? parseIpv4(last) : undefined;
  const hexGroups = ipv4 === undefined ? groups : groups.slice(0, -1);
  if (!hexGroups.every((group) => /^[0-9a-fA-F]{1,4}$/.test(group))) return undefined;
  const bytes = hexGroups.flatMap((group) => {
    const value = Number.parseInt(group, 16);
    return [value >> 8, value & 255];
  });
  return [...bytes, ...(ipv4 ?? [])];
}
