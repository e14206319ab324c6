/** A locked element in memory, as a device sees it. */
import { randomBytes } from 'node:crypto';
import type {
  CertificateSlot,
  DataSlot,
  DeviceElement,
  OperationalKey,
  OperationalKeys,
  WritableContents,
} from '../../src/device/ports/element.ts';
import {
  agreeP256,
  generateP256,
  type P256KeyPair,
  signP256,
} from '../../src/drivers/elements/software/p256.ts';

export interface MemoryElement extends DeviceElement {
  readonly keys: { readonly sign: P256KeyPair; readonly agree: P256KeyPair };
  readonly data: Map<DataSlot, Uint8Array>;
  readonly certificates: Map<CertificateSlot, readonly Uint8Array[]>;
  /** Calls of `agree` and `sign` that reject as an element does that does not answer. */
  failures: number;
}

export function memoryElement(data: Partial<Record<DataSlot, Uint8Array>> = {}): MemoryElement {
  const keys = { sign: generateP256(), agree: generateP256() };
  const slots = new Map<DataSlot, Uint8Array>();
  for (const slot of ['anchors', 'server-identity', 'eui64', 'device-id', 'state'] as const) {
    const value = data[slot];
    if (value !== undefined) slots.set(slot, value);
  }
  const certificates = new Map<CertificateSlot, readonly Uint8Array[]>();
  const element: MemoryElement = {
    keys,
    operational: operationalKeys(certificates, () => answerOrFail(element)),
    data: slots,
    certificates,
    failures: 0,
    identity: { family: 'memory', uid: randomBytes(9), model: 'test', firmware: '1' },
    lifecycle: async () => 'locked',
    random: async (lengthBytes) => new Uint8Array(randomBytes(lengthBytes)),
    publicKey: async (slot) => keys[slot].publicKey,
    sign: async (slot, message) => {
      answerOrFail(element);
      return signP256(keys[slot].privateKey, message);
    },
    agree: async (slot, peerPublicKey) => {
      answerOrFail(element);
      return agreeP256(keys[slot].privateKey, peerPublicKey);
    },
    write: async (contents: WritableContents) => {
      for (const slot of ['ldevid', 'ldevid-next'] as const) {
        const chain = contents.certificates?.[slot];
        if (chain?.length === 0) certificates.delete(slot);
        else if (chain !== undefined) certificates.set(slot, chain);
      }
      const state = contents.data?.state;
      if (state !== undefined) slots.set('state', state);
    },
    readCertificate: async (slot) => certificates.get(slot),
    readData: async (slot) => slots.get(slot),
  };
  return element;
}

function operationalKeys(
  certificates: Map<CertificateSlot, readonly Uint8Array[]>,
  answer: () => void,
): OperationalKeys {
  const pairs = new Map<OperationalKey, P256KeyPair>();
  const discard = (): void => {
    pairs.delete('next');
    certificates.delete('ldevid-next');
  };
  return {
    publicKey: async (which) => pairs.get(which)?.publicKey,
    generateNext: async () => {
      answer();
      discard();
      const pair = generateP256();
      pairs.set('next', pair);
      return pair.publicKey;
    },
    sign: async (which, message) => {
      answer();
      const pair = pairs.get(which);
      if (pair === undefined) throw new TypeError(`no ${which} key`);
      return signP256(pair.privateKey, message);
    },
    promote: async () => {
      answer();
      const pair = pairs.get('next');
      const ldevid = certificates.get('ldevid-next');
      if (pair === undefined || ldevid === undefined) throw new TypeError('no next key');
      pairs.set('present', pair);
      certificates.set('ldevid', ldevid);
      discard();
    },
    discardNext: async () => {
      answer();
      discard();
    },
  };
}

function answerOrFail(element: MemoryElement): void {
  if (element.failures === 0) return;
  element.failures -= 1;
  throw Object.assign(new Error('the element does not answer'), {
    name: 'ElementError',
    code: 'unreachable',
  });
}
