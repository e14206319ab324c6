/**
 * The air as a process with two real UDP sockets: one where the modems of sensors are, one where the
 * packet forwarders of gateways are. Frames of a sensor reach every gateway that attached; frames of a
 * gateway reach the sensor with that address.
 */
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { toHex } from '../../src/wire/bytes/hex.ts';
import { MalformedError, UnsupportedError } from '../../src/wire/bytes/malformed.ts';
import {
  type ModemDatagram,
  readModemDatagram,
  writeModemDatagram,
} from '../../src/wire/relay/modem.ts';
import { Air, type AirCounts, type AirOptions } from './air.ts';
import { seededRandom } from './random.ts';

/** Sensors and gateways that one simulation remembers. */
const maximumStations = 10_000;

export interface AirFrame {
  readonly direction: 'up' | 'down';
  readonly linkAddress: string;
  /** Hexadecimal: exactly the bytes that a gateway's radio received or was given to send. */
  readonly frame: string;
}

export interface UdpAirOptions extends AirOptions {
  readonly seed: number;
  /** 0 takes a free one. */
  readonly sensorPort: number;
  readonly gatewayPort: number;
  readonly onGatewayFrame?: (frame: AirFrame) => void;
}

export interface RunningAir {
  readonly sensorPort: number;
  readonly gatewayPort: number;
  readonly counts: Readonly<AirCounts>;
  close(): Promise<void>;
}

interface Station {
  readonly address: string;
  readonly port: number;
}

export async function startUdpAir(options: UdpAirOptions): Promise<RunningAir> {
  const air = new Air(options, seededRandom(options.seed));
  const [sensorSide, gatewaySide] = await Promise.all([
    bind(options.sensorPort),
    bind(options.gatewayPort),
  ]);
  const sensors = new Map<string, Station>();
  const gateways = new Map<string, Station>();
  const pending = new Set<NodeJS.Timeout>();

  const carry = (datagram: ModemDatagram, deliver: (bytes: Uint8Array) => boolean): void => {
    if (datagram.kind !== 'frame') return;
    const bytes = writeModemDatagram(datagram);
    for (const delayMs of air.fate(datagram.frame)) {
      const timeout = setTimeout(() => {
        pending.delete(timeout);
        if (deliver(bytes)) air.counts.delivered += 1;
        else air.counts.unheard += 1;
      }, delayMs);
      pending.add(timeout);
    }
  };
  const show = (direction: 'up' | 'down', datagram: ModemDatagram): void => {
    if (datagram.kind !== 'frame' || options.onGatewayFrame === undefined) return;
    const { linkAddress, frame } = datagram;
    options.onGatewayFrame({ direction, linkAddress: toHex(linkAddress), frame: toHex(frame) });
  };

  listen(sensorSide, (datagram, sender) => {
    if (datagram.linkAddress !== undefined) remember(sensors, toHex(datagram.linkAddress), sender);
    carry(datagram, (bytes) => {
      if (gateways.size > 0) show('up', datagram);
      for (const { port, address } of gateways.values()) gatewaySide.send(bytes, port, address);
      return gateways.size > 0;
    });
  });
  listen(gatewaySide, (datagram, sender) => {
    remember(gateways, `${sender.address}:${sender.port}`, sender);
    show('down', datagram);
    carry(datagram, (bytes) => {
      const sensor = sensors.get(toHex(datagram.linkAddress ?? new Uint8Array(0)));
      if (sensor !== undefined) sensorSide.send(bytes, sensor.port, sensor.address);
      return sensor !== undefined;
    });
  });

  return {
    sensorPort: sensorSide.address().port,
    gatewayPort: gatewaySide.address().port,
    counts: air.counts,
    close: async () => {
      for (const timeout of pending) clearTimeout(timeout);
      await Promise.all([sensorSide, gatewaySide].map(closed));
    },
  };
}

function listen(socket: Socket, take: (datagram: ModemDatagram, sender: RemoteInfo) => void): void {
  // A gateway or sensor that has gone: nobody hears the frame.
  socket.on('error', () => undefined);
  socket.on('message', (message, sender) => {
    try {
      take(readModemDatagram(message), sender);
    } catch (error) {
      if (!(error instanceof MalformedError || error instanceof UnsupportedError)) throw error;
    }
  });
}

function remember(stations: Map<string, Station>, name: string, { address, port }: Station): void {
  if (stations.size < maximumStations || stations.has(name)) stations.set(name, { address, port });
}

function bind(port: number): Promise<Socket> {
  const socket = createSocket('udp4');
  return new Promise((resolve, reject) => {
    socket.once('error', reject);
    socket.bind(port, '127.0.0.1', () => {
      socket.off('error', reject);
      resolve(socket);
    });
  });
}

function closed(socket: Socket): Promise<void> {
  return new Promise((resolve) => socket.close(resolve));
}
