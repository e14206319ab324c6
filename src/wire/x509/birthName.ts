/** Whom a certificate from birth names: the device, or the very chip. */
import { toHex } from '../bytes/hex.ts';
import type { Name } from './model.ts';
import { attributeText } from './names.ts';

/**
 * IEEE 802.1AR names the device by X520SerialNumber, Matter by the common name; one that a chip keeps in 72
 * bytes names the chip by its serial number, in upper-case hexadecimal.
 */
export function namesBirth(subject: Name, deviceId: string, uid: Uint8Array): boolean {
  const serialNumber = attributeText(subject, 'serialNumber');
  if (serialNumber === undefined) return attributeText(subject, 'commonName') === deviceId;
  return serialNumber === deviceId || serialNumber === toHex(uid).toUpperCase();
}
