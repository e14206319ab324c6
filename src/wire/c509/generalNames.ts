/** General names (§3.3, §8.13): pairs of an integer for the kind and the value, flat in one array. */
import { UnsupportedError } from '../bytes/malformed.ts';
import { fromUtf8, utf8 } from '../bytes/utf8.ts';
import type { CborReader } from '../cbor/reader.ts';
import * as cbor from '../cbor/writer.ts';
import { readDer } from '../der/reader.ts';
import * as der from '../der/writer.ts';
import {
  type GeneralName,
  hardwareModuleName,
  hardwareModuleNameOid,
} from '../x509/generalNames.ts';
import { parseName } from '../x509/names.ts';
import { type C509Type, encodeName, readName } from './names.ts';
import { oidItem, readOid } from './oids.ts';
import { generalNameTypes as types, otherNameOids } from './registries.ts';

/** Kind and value. Throws an `UnsupportedError` for x400Address and ediPartyName. */
export function encodeGeneralName(name: GeneralName, type: C509Type): [Uint8Array, Uint8Array] {
  const [kind, value] = kindAndValue(name, type);
  return [cbor.integer(kind), value];
}

/** A flat array of `count` items, which the caller has read the head of. */
export function readGeneralNames(
  reader: CborReader,
  count: number,
  type: C509Type,
): readonly GeneralName[] {
  if (count === 0 || count % 2 !== 0) reader.fail('general names are pairs, one or more');
  return Array.from({ length: count / 2 }, () => readGeneralName(reader, type));
}

function readGeneralName(reader: CborReader, type: C509Type): GeneralName {
  const start = reader.offset;
  const kind = reader.integer();
  switch (kind) {
    case types.hardwareModuleName: {
      pair(reader);
      return hardwareModuleName({ hwType: readOid(reader), hwSerialNum: reader.bytes() });
    }
    case types.smtpUtf8Mailbox:
      return {
        kind: 'otherName',
        typeId: otherNameOids.smtpUtf8Mailbox,
        value: der.utf8String(reader.text()),
      };
    case types.macAddress:
      return {
        kind: 'otherName',
        typeId: otherNameOids.macAddress,
        value: der.octetString(reader.bytes()),
      };
    case types.otherName: {
      pair(reader);
      const typeId = readOid(reader);
      return {
        kind: 'otherName',
        typeId,
        value: readDer(reader.bytes(), (value) => value.element()),
      };
    }
    case types.rfc822Name:
      return { kind: 'rfc822Name', text: readAscii(reader) };
    case types.dNSName:
      return { kind: 'dNSName', text: readAscii(reader) };
    case types.directoryName:
      return { kind: 'directoryName', name: parseName(readName(reader, type)) };
    case types.uniformResourceIdentifier:
      return { kind: 'uniformResourceIdentifier', text: readAscii(reader) };
    case types.iPAddress:
      return { kind: 'iPAddress', address: reader.bytes() };
    case types.registeredID:
      return { kind: 'registeredID', oid: readOid(reader) };
    default:
      return reader.fail(`general name ${kind} is not registered`, start);
  }
}

/** Text of an IA5String. */
export function readAscii(reader: CborReader): string {
  const start = reader.offset;
  const text = reader.text();
  return utf8(text).length === text.length ? text : reader.fail('characters outside ASCII', start);
}

function pair(reader: CborReader): void {
  const start = reader.offset;
  if (reader.array() !== 2) reader.fail('[oid, value] expected', start);
}

function kindAndValue(name: GeneralName, type: C509Type): [number, Uint8Array] {
  switch (name.kind) {
    case 'otherName':
      return otherName(name.typeId, name.value);
    case 'rfc822Name':
      return [types.rfc822Name, cbor.text(name.text)];
    case 'dNSName':
      return [types.dNSName, cbor.text(name.text)];
    case 'directoryName':
      return [types.directoryName, encodeName(name.name, type)];
    case 'uniformResourceIdentifier':
      return [types.uniformResourceIdentifier, cbor.text(name.text)];
    case 'iPAddress':
      return [types.iPAddress, cbor.bytes(name.address)];
    case 'registeredID':
      return [types.registeredID, oidItem(name.oid)];
    case 'unread':
      throw new UnsupportedError('c509', `general name [${name.tagNumber}]`);
  }
}

/** §3.7: where a kind of otherName has an encoding of its own, it is used. */
function otherName(typeId: string, value: Uint8Array): [number, Uint8Array] {
  switch (typeId) {
    case hardwareModuleNameOid:
      return readDer(value, (reader) =>
        reader.sequence((content) => {
          const hwType = oidItem(content.oid());
          const hwSerialNum = cbor.bytes(content.octetString());
          return [types.hardwareModuleName, cbor.array(hwType, hwSerialNum)];
        }),
      );
    case otherNameOids.smtpUtf8Mailbox:
      return readDer(value, (reader) => [
        types.smtpUtf8Mailbox,
        cbor.text(fromUtf8(reader.content(0x0c)) ?? reader.fail('not UTF-8')),
      ]);
    case otherNameOids.macAddress:
      return readDer(value, (reader) => [types.macAddress, cbor.bytes(reader.octetString())]);
    default:
      return [types.otherName, cbor.array(oidItem(typeId), cbor.bytes(value))];
  }
}
