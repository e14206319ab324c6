/** What a device on this machine consists of: its software element, its memory, and TLS with both. */
import { readAnchors } from '../../device/enrolment/steps.ts';
import type { DeviceClock } from '../../device/ports/clock.ts';
import { DeviceFault } from '../../device/ports/faults.ts';
import { openElement } from '../../drivers/elements/software/elementFolder.ts';
import type { SoftwareElement } from '../../drivers/elements/software/softwareElement.ts';
import type { TlsMaterial } from '../../drivers/links/tls/client.ts';
import { type FileDeviceStore, openDeviceStore } from '../../drivers/store/files/deviceStore.ts';

export interface DeviceFiles {
  readonly elementFile: string;
  /** Of the element's folder. */
  readonly passphrase: string;
  /** The device's memory; by default beside the element's file. */
  readonly stateFile?: string | undefined;
}

export interface SoftwareDevice {
  readonly element: SoftwareElement;
  readonly store: FileDeviceStore;
  readonly material: TlsMaterial;
}

/** Rejects when the element does not open, or another process has the device's memory. */
export async function openSoftwareDevice(files: DeviceFiles): Promise<SoftwareDevice> {
  const { elementFile, passphrase, stateFile } = files;
  const element = await openElement(elementFile, passphrase);
  const store = await openDeviceStore(stateFile ?? `${elementFile}.device`);
  const material: TlsMaterial = {
    identity: async (credential) => {
      const certificates = await element.readCertificate(credential);
      if (certificates === undefined) {
        throw new DeviceFault(`the element has no ${credential}`, { retryable: false });
      }
      return { certificates, privateKeyPem: element.tlsKeyPem('sign') };
    },
    anchors: () => readAnchors(element, store),
  };
  return { element, store, material };
}

export const systemClock: DeviceClock = { nowMs: () => Date.now() };
