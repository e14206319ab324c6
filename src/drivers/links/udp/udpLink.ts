/** Radios that are reached over UDP: a sensor's modem, and the packet forwarder of a gateway. */
import { DeviceFault } from '../../../device/ports/faults.ts';
import type { Link, RadioPort } from '../../../device/ports/link.ts';
import { equal } from '../../../wire/bytes/bytes.ts';
import { type ModemAddress, ModemSocket } from './socket.ts';

export type { ModemAddress } from './socket.ts';

export interface UdpRadioOptions {
  readonly modem: ModemAddress;
  /** Of the radio behind the modem. */
  readonly maximumFrameBytes: number;
  /** How often the modem is told where we are. */
  readonly attachIntervalMs?: number;
}

export interface Closable {
  close(): Promise<void>;
}

/** The modem of one sensor. Rejects with a `DeviceFault`. */
export async function openUdpLink(
  options: UdpRadioOptions & { readonly linkAddress: Uint8Array },
): Promise<Link & Closable> {
  const { linkAddress, maximumFrameBytes } = options;
  const socket = await ModemSocket.open(options.modem, linkAddress, intervalOf(options));
  return {
    maximumFrameBytes,
    send: async (frame) => {
      refuseLongFrame(frame, maximumFrameBytes);
      await socket.send({ kind: 'frame', linkAddress, frame });
    },
    onFrame: (receive) =>
      socket.onDatagram(async (datagram) => {
        if (datagram.kind !== 'frame' || !equal(datagram.linkAddress, linkAddress)) return;
        await receive(datagram.frame);
      }),
    close: () => socket.close(),
  };
}

/** The packet forwarder of a gateway. Rejects with a `DeviceFault`. */
export async function openUdpRadioPort(options: UdpRadioOptions): Promise<RadioPort & Closable> {
  const { maximumFrameBytes } = options;
  const socket = await ModemSocket.open(options.modem, undefined, intervalOf(options));
  return {
    maximumFrameBytes,
    send: async (linkAddress, frame) => {
      refuseLongFrame(frame, maximumFrameBytes);
      await socket.send({ kind: 'frame', linkAddress, frame });
    },
    onFrame: (receive) =>
      socket.onDatagram(async (datagram) => {
        if (datagram.kind === 'frame') await receive(datagram.linkAddress, datagram.frame);
      }),
    close: () => socket.close(),
  };
}

function intervalOf(options: UdpRadioOptions): number {
  return options.attachIntervalMs ?? 2_000;
}

function refuseLongFrame(frame: Uint8Array, maximumFrameBytes: number): void {
  if (frame.length <= maximumFrameBytes) return;
  const problem = `a frame of ${frame.length} bytes on a link of ${maximumFrameBytes}`;
  throw new DeviceFault(problem, { retryable: false });
}
