/**
 * What the device remembers of its servers, in its durable memory: for each anchor the highest floor and the
 * latest signed time, and the certificate that it has seen last. All of it changes when a handshake is
 * finished, and not before: until then anybody may have sent it.
 *
 *     server-ANCHOR   [ floor: uint, time: uint ]        seconds; neither ever goes down
 *     server-seen     the certificate
 *     server-next     [ anchor: tstr, floor: uint, time: uint, certificate: bstr ]   of message_2, verified
 */
import { CborReader } from '../../wire/cbor/reader.ts';
import * as cbor from '../../wire/cbor/writer.ts';
import type { DeviceStore } from '../ports/deviceStore.ts';

export interface ServerLimits {
  readonly floor: number;
  /** Seconds since 1970-01-01T00:00:00Z that were signed. */
  readonly timeS: number;
}

/** What a finished handshake raises the limits to. */
export interface ServerNews extends ServerLimits {
  /** As in `ServerCertificate`. */
  readonly anchor: string;
  /** To be known by its hash from now on; no bytes: none is. */
  readonly certificate: Uint8Array;
}

const seenName = 'server-seen';
const nextName = 'server-next';

export class ServerMemory {
  readonly #store: DeviceStore;

  constructor(store: DeviceStore) {
    this.#store = store;
  }

  async limits(anchor: string): Promise<ServerLimits> {
    const stored = await this.#store.read(nameOf(anchor));
    if (stored === undefined) return { floor: 0, timeS: 0 };
    const reader = new CborReader(stored);
    reader.array();
    return { floor: reader.unsigned(), timeS: reader.unsigned() };
  }

  /** The certificate that was seen last, which may be named by its hash. */
  seen(): Promise<Uint8Array | undefined> {
    return this.#store.read(seenName);
  }

  /**
   * Before message_3 leaves. A crash after this write: message_2 comes again, and is the same. News of a
   * handshake that ends otherwise are replaced by those of the next one.
   */
  prepare({ anchor, floor, timeS, certificate }: ServerNews): Promise<void> {
    const record = cbor.array(
      cbor.text(anchor),
      cbor.integer(floor),
      cbor.integer(timeS),
      cbor.bytes(certificate),
    );
    return this.#store.commit(new Map([[nextName, record]]));
  }

  /** The server has shown its keys. Done twice it changes nothing. */
  async finish(): Promise<void> {
    const stored = await this.#store.read(nextName);
    if (stored === undefined) return;
    const reader = new CborReader(stored);
    reader.array();
    const anchor = reader.text();
    const present = await this.limits(anchor);
    const floor = Math.max(present.floor, reader.unsigned());
    const timeS = Math.max(present.timeS, reader.unsigned());
    const certificate = reader.bytes();
    await this.#store.commit(
      new Map([
        [nameOf(anchor), cbor.array(cbor.integer(floor), cbor.integer(timeS))],
        [seenName, certificate.length > 0 ? certificate : undefined],
        [nextName, undefined],
      ]),
    );
  }
}

function nameOf(anchor: string): string {
  return `server-${anchor}`;
}
