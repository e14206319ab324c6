/** The server known by its chain where the device reads no X.509: natively signed C509, anchors of the element. */
import { readBareAnchors } from '../../wire/line/slotData.ts';
import type { Crypto } from '../../wire/crypto/crypto.ts';
import type { ServerProofCodePoints } from '../../wire/edhoc/serverStatus.ts';
import { judgeNativeServer } from '../identity/nativeServer.ts';
import { ServerMemory } from '../identity/serverMemory.ts';
import type { FreshStatus } from '../identity/serverStatus.ts';
import type { DeviceElement } from '../ports/element.ts';
import type { DeviceStore } from '../ports/deviceStore.ts';
import { DeviceFault } from '../ports/faults.ts';
import { chainTrust, type ServerTrust } from './serverTrust.ts';

export interface NativeTrustOptions {
  /** Content octets of the object identifier of ServerGeneration. */
  readonly generationId: Uint8Array;
  readonly codePoints: ServerProofCodePoints;
  /** `freshStatus`. Absent: a word of the authority is not asked for. */
  readonly fresh?: FreshStatus | undefined;
}

/** For method 3, in which the server agrees. Rejects with a `DeviceFault` when the element has no anchors. */
export async function nativeTrust(
  ports: {
    readonly element: DeviceElement;
    /** A sealed one: see `device/storage`. */
    readonly store: DeviceStore;
    readonly crypto: Crypto;
  },
  { generationId, codePoints, fresh }: NativeTrustOptions,
): Promise<ServerTrust> {
  const { element, store, crypto } = ports;
  const slot = await element.readData('anchors');
  if (slot === undefined) {
    throw new DeviceFault('the element has no anchors', { retryable: false });
  }
  const anchors = readBareAnchors(slot);
  const rules = { crypto, anchors, generationId, keyUse: 'keyAgreement' } as const;
  return chainTrust({
    crypto,
    memory: new ServerMemory(store),
    judge: (reference) => judgeNativeServer(reference, rules),
    codePoints,
    fresh,
  });
}
