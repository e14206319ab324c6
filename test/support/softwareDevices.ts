/** Software elements in files, born as the line would have them, and what a registry has to know of them. */
import { join } from 'node:path';
import { encodeAnchors } from '../../src/wire/line/slotData.ts';
import { createElementFolder } from '../../src/drivers/elements/software/elementFolder.ts';
import { elementFileSuffix } from '../../src/drivers/elements/software/softwareElement.ts';
import { nodeCrypto } from '../../src/drivers/keys/software/nodeCrypto.ts';
import type { ImportedDevice } from '../../src/trust/ports/registryStore.ts';
import { toHex } from '../../src/wire/bytes/hex.ts';
import { utf8 } from '../../src/wire/bytes/utf8.ts';
import { kidOfAgreeKey } from '../../src/wire/edhoc/agreeCredential.ts';
import { p256Spki } from '../../src/wire/x509/spki.ts';
import type { TestPki } from './pki.ts';
import { deviceIdOf } from './registrySamples.ts';

export const elementPassphrase = 'correct horse battery';

export interface BornDevice {
  readonly deviceId: string;
  readonly elementFile: string;
  readonly imported: ImportedDevice;
}

export interface Birthplace {
  readonly folder: string;
  readonly pki: TestPki;
  readonly serverIdentity: Uint8Array;
}

/** Device `number` as a file of the folder, and its line of the manifest. */
export async function giveBirth(
  place: Birthplace,
  number: number,
  product: string,
): Promise<BornDevice> {
  const { folder, pki, serverIdentity } = place;
  const elements = await createElementFolder(folder, elementPassphrase, 4);
  const deviceId = deviceIdOf(number);
  const uid = Uint8Array.of(0x99, number >> 8, number & 255);
  const eui64 = Uint8Array.of(2, 0, 0x5e, 0xff, 0xfe, 0, number >> 8, number & 255);
  const element = await elements.create(uid);
  const signKeySpki = p256Spki(await element.generateKey('sign'));
  const agreeKey = await element.generateKey('agree');
  const idevid = pki.idevid(deviceId, { spki: signKeySpki });
  await element.write({
    certificates: { idevid: idevid.chain },
    data: {
      anchors: encodeAnchors([pki.server.certificate.der]),
      'server-identity': serverIdentity,
      eui64,
      'device-id': utf8(deviceId),
    },
  });
  await element.lock();
  return {
    deviceId,
    elementFile: join(folder, `${toHex(uid)}${elementFileSuffix}`),
    imported: {
      identity: {
        deviceId,
        family: 'software',
        uid,
        eui64,
        product,
        owner: 'owner',
        signKeySpki,
        agreeKey,
        kid: kidOfAgreeKey(nodeCrypto, agreeKey),
        proofLevel: 'line-anchored',
      },
      state: 'released',
      certificates: [{ kind: 'idevid', sha256: idevid.sha256, notAfterMs: undefined }],
    },
  };
}
