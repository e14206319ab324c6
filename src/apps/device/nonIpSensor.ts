/** A sensor behind a radio as a process: element, sealed memory, modem. Wiring only. */
import { blockBytesWithin } from '../../device/enrolment/sessionEnrolment.ts';
import {
  SessionEnroller,
  type SessionEnrollerEvent,
  type SessionEnrollerOptions,
} from '../../device/enrolment/sessionEnroller.ts';
import { freshStatus } from '../../device/identity/serverStatus.ts';
import type { DeviceStore } from '../../device/ports/deviceStore.ts';
import type { DeviceElement } from '../../device/ports/element.ts';
import { DeviceFault } from '../../device/ports/faults.ts';
import { nativeTrust } from '../../device/sessions/nativeTrust.ts';
import { partedLink } from '../../device/sessions/partedLink.ts';
import { pinnedTrust } from '../../device/sessions/pinnedTrust.ts';
import { NonIpSensor } from '../../device/sessions/sensor.ts';
import { pskResumption } from '../../device/sessions/resumption.ts';
import type { SensorEvent, SensorOptions } from '../../device/sessions/sensorOptions.ts';
import type { ServerTrust } from '../../device/sessions/serverTrust.ts';
import { openSealedStore } from '../../device/storage/sealedStore.ts';
import { nodeCrypto } from '../../drivers/keys/software/nodeCrypto.ts';
import { decompressPoint } from '../../drivers/keys/software/points.ts';
import { systemTimer } from '../../drivers/links/systemTimer.ts';
import { type ModemAddress, openUdpLink } from '../../drivers/links/udp/udpLink.ts';
import { fromUtf8 } from '../../wire/bytes/utf8.ts';
import { oidContent } from '../../wire/der/oid.ts';
import { exampleServerProof } from '../../wire/edhoc/serverStatus.ts';
import { exampleGenerationOid } from '../../wire/x509/serverGeneration.ts';
import { type DeviceFiles, openSoftwareDevice, systemClock } from './softwareDevice.ts';

export interface NonIpSensorConfig extends DeviceFiles {
  readonly modem: ModemAddress;
  readonly maximumFrameBytes: number;
  readonly options?: Partial<SensorOptions>;
  /** How it knows its server; `pinned` unless told. `fresh`: by chain, with a status in every handshake. */
  readonly trust?: 'pinned' | 'chain' | 'fresh';
  readonly onEvent: (event: SensorEvent) => void;
  /** An operational certificate through the session; none is asked for when absent. */
  readonly enrolment?: {
    readonly options: Omit<SessionEnrollerOptions, 'blockBytes'>;
    readonly onEvent: (event: SessionEnrollerEvent) => void;
  };
}

export interface RunningNonIpSensor {
  readonly deviceId: string;
  readonly sensor: NonIpSensor;
  close(): Promise<void>;
}

export async function startNonIpSensor(config: NonIpSensorConfig): Promise<RunningNonIpSensor> {
  const { element, store } = await openSoftwareDevice(config);
  const undo: Array<() => Promise<void>> = [() => store.close()];
  const close = async (): Promise<void> => {
    for (const step of undo.splice(0).reverse()) await step();
  };
  try {
    const linkAddress = await element.readData('eui64');
    if (linkAddress === undefined) {
      throw new DeviceFault('the element has no EUI-64', { retryable: false });
    }
    const { modem, maximumFrameBytes, trust = 'pinned' } = config;
    const radio = await openUdpLink({ modem, maximumFrameBytes, linkAddress });
    undo.push(() => radio.close());
    const sealed = await openSealedStore(element, store, nodeCrypto);
    const ports = {
      element,
      link: trust === 'pinned' ? radio : partedLink(radio, nodeCrypto),
      store: sealed,
      timer: systemTimer,
      crypto: nodeCrypto,
      resumption: pskResumption,
      trust: await trustOf(trust, element, sealed),
    };
    const sensor = await NonIpSensor.start(ports, config.onEvent, config.options);
    undo.push(() => sensor.stop());
    if (config.enrolment !== undefined) {
      const { options, onEvent } = config.enrolment;
      const blockBytes = blockBytesWithin(maximumFrameBytes);
      const enroller = SessionEnroller.start(
        {
          element,
          crypto: nodeCrypto,
          clock: systemClock,
          timer: systemTimer,
          decompress: decompressPoint,
          exchange: (request) => sensor.exchange(request),
        },
        { ...options, blockBytes },
        onEvent,
      );
      // What it waits for is given back when the sensor stops, which comes first.
      undo.splice(-1, 0, () => enroller.stop());
    }
    const deviceId = fromUtf8((await element.readData('device-id')) ?? new Uint8Array(0)) ?? '';
    return { deviceId, sensor, close };
  } catch (error) {
    await close();
    throw error;
  }
}

function trustOf(
  trust: 'pinned' | 'chain' | 'fresh',
  element: DeviceElement,
  store: DeviceStore,
): Promise<ServerTrust> {
  if (trust === 'pinned') return pinnedTrust(element, nodeCrypto);
  const codePoints = exampleServerProof;
  const ports = { element, store, crypto: nodeCrypto };
  return nativeTrust(ports, {
    generationId: oidContent(exampleGenerationOid),
    codePoints,
    fresh: trust === 'fresh' ? freshStatus(nodeCrypto, codePoints) : undefined,
  });
}
