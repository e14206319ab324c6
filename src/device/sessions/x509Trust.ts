/** The server known by its chain where the device reads X.509: DER, and C509 of either type. */
import type { PointDecompressor } from '../../wire/c509/publicKey.ts';
import type { Crypto } from '../../wire/crypto/crypto.ts';
import { type ServerProofCodePoints, x509Request } from '../../wire/edhoc/serverStatus.ts';
import { readAnchors } from '../../wire/line/slotData.ts';
import type { ServerKeyUse } from '../identity/serverCertificate.ts';
import { ServerMemory } from '../identity/serverMemory.ts';
import type { FreshStatus } from '../identity/serverStatus.ts';
import { judgeServer } from '../identity/x509Server.ts';
import type { DeviceElement } from '../ports/element.ts';
import type { DeviceStore } from '../ports/deviceStore.ts';
import { DeviceFault } from '../ports/faults.ts';
import { chainTrust, type ServerTrust } from './serverTrust.ts';

export interface X509TrustOptions {
  readonly generationOid: string;
  /** As the method has it: in 0 and 2 the server signs. */
  readonly keyUse: ServerKeyUse;
  readonly codePoints: ServerProofCodePoints;
  /** What to ask for; the server decides, and either will do. */
  readonly form: 'c509' | 'x509';
  /** `freshStatus`. Absent: a word of the authority is not asked for. */
  readonly fresh?: FreshStatus | undefined;
}

/** Rejects with a `DeviceFault` when the element has no anchors. */
export async function x509Trust(
  ports: {
    readonly element: DeviceElement;
    /** A sealed one: see `device/storage`. */
    readonly store: DeviceStore;
    readonly crypto: Crypto;
    readonly decompress: PointDecompressor;
  },
  { generationOid, keyUse, codePoints, form, fresh }: X509TrustOptions,
): Promise<ServerTrust> {
  const { element, store, crypto, decompress } = ports;
  const slot = await element.readData('anchors');
  if (slot === undefined) {
    throw new DeviceFault('the element has no anchors', { retryable: false });
  }
  const rules = { crypto, decompress, anchors: readAnchors(slot), generationOid, keyUse };
  const trust = chainTrust({
    crypto,
    memory: new ServerMemory(store),
    judge: (reference) => judgeServer(reference, rules),
    codePoints,
    fresh,
  });
  if (form === 'c509') return trust;
  const asked = [x509Request(codePoints), ...(fresh === undefined ? [] : [fresh.request])];
  return { ...trust, request: async () => asked };
}
