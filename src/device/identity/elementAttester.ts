/** Evidence signed by the key that the element was born with. What is measured is for whoever measures. */
import type { Crypto } from '../../wire/crypto/crypto.ts';
import { fixedSignature } from '../../wire/der/ecdsa.ts';
import { type Measurement, prepareEvidence, ueidOfKey } from '../../wire/edhoc/attestation.ts';
import type { Attester } from '../ports/attester.ts';
import type { DeviceElement } from '../ports/element.ts';
import { DeviceFault } from '../ports/faults.ts';
import { birthKey } from './signingKeys.ts';

export interface ElementAttesterPorts {
  readonly element: DeviceElement;
  readonly crypto: Crypto;
  readonly contentFormats: readonly number[];
  /** Of the firmware that runs now. */
  readonly measure: () => Promise<readonly Measurement[]>;
}

const coordinateBytes = 32;

export function elementAttester(ports: ElementAttesterPorts): Attester {
  const { element, crypto, contentFormats, measure } = ports;
  return {
    contentFormats,
    evidence: async ({ nonce }, binder) => {
      const key = await birthKey(element);
      const publicKey = crypto.importPublicKey('P-256', key.point);
      if (publicKey === undefined)
        throw new DeviceFault('the element is damaged', { retryable: false });
      const claims = { nonce, ueid: ueidOfKey(crypto, publicKey), measurements: await measure() };
      const prepared = prepareEvidence(claims, 'ES256', binder);
      const signature = await key.sign(prepared.toBeSigned);
      return prepared.finish(fixedSignature(signature, coordinateBytes));
    },
  };
}
