/** A sensor with IP as a process: element, device door, broker. Wiring only. */
import {
  IpDevice,
  type IpDeviceEvent,
  type IpDeviceOptions,
} from '../../device/enrolment/ipDevice.ts';
import { nodeCrypto } from '../../drivers/keys/software/nodeCrypto.ts';
import {
  type HttpsServerAddress,
  openDeviceServer,
} from '../../drivers/links/https/deviceClient.ts';
import { mqttConnector } from '../../drivers/links/mqtts/mqttLink.ts';
import { systemTimer } from '../../drivers/links/systemTimer.ts';
import { type DeviceFiles, openSoftwareDevice, systemClock } from './softwareDevice.ts';

export interface IpSensorConfig extends DeviceFiles {
  /** The device door of the server. */
  readonly server: HttpsServerAddress;
  readonly options?: Partial<IpDeviceOptions>;
  readonly onEvent: (event: IpDeviceEvent) => void;
}

export interface RunningIpDevice {
  readonly device: IpDevice;
  close(): Promise<void>;
}

export async function startIpSensor(config: IpSensorConfig): Promise<RunningIpDevice> {
  const { element, store, material } = await openSoftwareDevice(config);
  const server = openDeviceServer(config.server, material);
  const { retry } = config.options ?? {};
  const uplink = mqttConnector({
    material,
    ...(retry === undefined
      ? {}
      : { firstPauseMs: retry.firstMs, longestPauseMs: retry.longestMs }),
  });
  const ports = {
    element,
    store,
    server,
    uplink,
    crypto: nodeCrypto,
    clock: systemClock,
    timer: systemTimer,
  };
  try {
    const device = await IpDevice.start(ports, config.onEvent, config.options);
    return {
      device,
      close: async () => {
        await device.stop();
        server.close();
        await store.close();
      },
    };
  } catch (error) {
    server.close();
    await store.close();
    throw error;
  }
}
