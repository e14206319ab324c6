/** From the elements of a verified manifest to devices of the registry. */
import type { Crypto } from '../../wire/crypto/crypto.ts';
import { noExpirationMs } from '../../wire/der/time.ts';
import { kidOfAgreeKey } from '../../wire/edhoc/agreeCredential.ts';
import { type Refusal, refuse } from '../ports/faults.ts';
import type { ImportedDevice } from '../ports/registryStore.ts';
import { newDeviceId } from './importRules.ts';
import type { ImportedElement, VerifiedManifest } from './manifestImport.ts';
import type { ImportRefusal, ImportSummary, Registry } from './registry.ts';

export interface ElementImport {
  /** Whose devices these are from now on. */
  readonly owner: string;
  /** For elements of others, whose manifests name parts and no products; by default the part number. */
  readonly product: string | undefined;
  /** `expected` when the goods are still on their way. */
  readonly state: 'expected' | 'released';
}

/**
 * All or nothing. Elements of others have no deviceId until now; importing their manifest again finds the
 * one that was given the first time.
 */
export async function importElements(
  registry: Registry,
  crypto: Crypto,
  manifest: VerifiedManifest,
  terms: ElementImport,
): Promise<ImportSummary | Refusal<ImportRefusal>> {
  const devices: ImportedDevice[] = [];
  for (const element of manifest.elements) {
    const known =
      element.birth === undefined
        ? await registry.deviceByUid(element.family, element.uid)
        : undefined;
    const deviceId = element.birth?.deviceId ?? known?.deviceId ?? newDeviceId(crypto);
    devices.push(deviceOf(element, deviceId, crypto, terms));
  }
  return devices.length === 0
    ? refuse('malformed', 'the manifest names no element')
    : registry.importDevices(devices);
}

function deviceOf(
  element: ImportedElement,
  deviceId: string,
  crypto: Crypto,
  { owner, product, state }: ElementImport,
): ImportedDevice {
  const { agreeKey, birth, certificateNotAfterMs } = element;
  return {
    identity: {
      deviceId,
      family: element.family,
      uid: element.uid,
      eui64: birth?.eui64,
      product: birth?.product ?? product ?? element.partNumber,
      owner,
      signKeySpki: element.signKeySpki,
      agreeKey,
      kid: agreeKey === undefined ? undefined : kidOfAgreeKey(crypto, agreeKey),
      proofLevel: element.proofLevel,
    },
    state,
    certificates: [
      {
        sha256: element.certificateSha256,
        kind: 'idevid',
        notAfterMs: certificateNotAfterMs < noExpirationMs ? certificateNotAfterMs : undefined,
      },
    ],
  };
}
