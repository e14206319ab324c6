/**
 * A gateway as a process: a device with IP of its own, and a radio whose frames it carries unread. It has
 * no key of anybody else. Wiring only.
 */
import type { IpDeviceEvent, IpDeviceOptions } from '../../device/enrolment/ipDevice.ts';
import {
  GatewayRelay,
  type RelayCounts,
  type RelayOptions,
} from '../../device/relay/gatewayRelay.ts';
import type { HttpsServerAddress } from '../../drivers/links/https/deviceClient.ts';
import { systemTimer } from '../../drivers/links/systemTimer.ts';
import { type ModemAddress, openUdpRadioPort } from '../../drivers/links/udp/udpLink.ts';
import { type RunningIpDevice, startIpSensor } from '../device/ipSensor.ts';
import type { DeviceFiles } from '../device/softwareDevice.ts';

export interface GatewayConfig extends DeviceFiles {
  readonly server: HttpsServerAddress;
  /** The packet forwarder of its radio. */
  readonly radio: ModemAddress;
  readonly maximumFrameBytes: number;
  readonly options?: Partial<IpDeviceOptions>;
  readonly relay?: Partial<RelayOptions>;
  readonly onEvent: (event: IpDeviceEvent) => void;
  /** Everything that the gateway sees of a frame. */
  readonly onFrame?: (direction: 'up' | 'down', linkAddress: Uint8Array, frame: Uint8Array) => void;
}

export interface RunningGateway extends RunningIpDevice {
  readonly counts: Readonly<RelayCounts>;
}

export async function startGateway(config: GatewayConfig): Promise<RunningGateway> {
  const { radio: modem, maximumFrameBytes, onEvent, onFrame } = config;
  const radio = await openUdpRadioPort({ modem, maximumFrameBytes });
  const started = Promise.withResolvers<RunningIpDevice>();
  // A start that fails is reported by the call itself.
  started.promise.catch(() => undefined);
  const relay = new GatewayRelay(
    {
      radio,
      timer: systemTimer,
      publish: async (envelope) => (await started.promise).device.publish('up', envelope),
      ...(onFrame === undefined ? {} : { observe: onFrame }),
    },
    config.relay,
  );
  const onDeviceEvent = (event: IpDeviceEvent): void => {
    if (event.kind === 'online' || event.kind === 'offline') relay.onState(event.kind);
    if (event.kind === 'message' && event.channel === 'down') void relay.onDown(event.payload);
    else onEvent(event);
  };
  try {
    const running = await startIpSensor({ ...config, onEvent: onDeviceEvent });
    started.resolve(running);
    return {
      device: running.device,
      counts: relay.counts,
      close: async () => {
        relay.stop();
        await radio.close();
        await running.close();
      },
    };
  } catch (error) {
    started.reject(error);
    await radio.close();
    throw error;
  }
}
