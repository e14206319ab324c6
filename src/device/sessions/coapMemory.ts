/**
 * What a device on IP keeps of its session across a loss of power. It holds secrets: the store is a sealed
 * one.
 *
 *     coap-session    = [material: bstr, updates: uint, updating: bool, reserved: uint, failed: uint]
 *     coap-resumption = [psk: bstr, uses: uint]
 */
import { CborReader } from '../../wire/cbor/reader.ts';
import * as cbor from '../../wire/cbor/writer.ts';
import type { Crypto } from '../../wire/crypto/crypto.ts';
import { restorePskCredential, storePskCredential } from '../../wire/edhoc/psk.ts';
import type { ContextMaterial } from '../../wire/oscore/contextUpdate.ts';
import { restoreMaterial, storeMaterial } from '../../wire/oscore/kudosStored.ts';
import type { DeviceStore } from '../ports/deviceStore.ts';
import { Channel, type ChannelUse } from './channel.ts';
import type { Resumption } from './memory.ts';
import { encodeResumption, parseResumption } from './record.ts';

export interface CoapKeys {
  readonly material: ContextMaterial;
  /** Runs of KUDOS since the handshake. */
  readonly updates: number;
  /** A run was begun: under these keys nothing goes out any more but another one. */
  readonly updating: boolean;
  readonly channel: Channel;
}

export interface CoapRemembered {
  readonly keys: CoapKeys | undefined;
  readonly resumption: Resumption | undefined;
}

const sessionName = 'coap-session';
const resumptionName = 'coap-resumption';

export class CoapMemory {
  readonly #store: DeviceStore;
  readonly #crypto: Crypto;

  constructor(store: DeviceStore, crypto: Crypto) {
    this.#store = store;
    this.#crypto = crypto;
  }

  /** Throws a `MalformedError` on what was not written here. */
  async read(): Promise<CoapRemembered> {
    const [keys, resumption] = await Promise.all([
      this.#store.read(sessionName),
      this.#store.read(resumptionName),
    ]);
    return {
      keys: keys === undefined ? undefined : this.#openKeys(keys),
      resumption: resumption === undefined ? undefined : this.#openResumption(resumption),
    };
  }

  /** `use` is what holds of the channel's numbers once this is durable. */
  keep(keys: CoapKeys, use: ChannelUse): Promise<void> {
    return this.#store.commit(new Map([[sessionName, closed(keys, use)]]));
  }

  keepBoth(keys: CoapKeys, use: ChannelUse, resumption: Resumption): Promise<void> {
    return this.#store.commit(
      new Map([
        [sessionName, closed(keys, use)],
        [resumptionName, this.#closedResumption(resumption)],
      ]),
    );
  }

  keepResumption(resumption: Resumption): Promise<void> {
    return this.#store.commit(new Map([[resumptionName, this.#closedResumption(resumption)]]));
  }

  /** The resumption key stays: it leads to the next session. */
  forgetKeys(): Promise<void> {
    return this.#store.commit(new Map([[sessionName, undefined]]));
  }

  #openKeys(stored: Uint8Array): CoapKeys {
    const reader = new CborReader(stored);
    if (reader.array() !== 5) reader.fail('not the members of this record', 0);
    const material = restoreMaterial(reader.bytes().slice());
    const updates = reader.unsigned();
    const updating = reader.boolean();
    const use = { reservedEnd: reader.unsigned(), failedVerifications: reader.unsigned() };
    reader.end();
    return { material, updates, updating, channel: new Channel(this.#crypto, material, use) };
  }

  #closedResumption({ psk, uses }: Resumption): Uint8Array {
    return encodeResumption({ psk: storePskCredential(this.#crypto, psk), uses });
  }

  #openResumption(stored: Uint8Array): Resumption {
    const { psk, uses } = parseResumption(stored);
    return { psk: restorePskCredential(this.#crypto, psk), uses };
  }
}

function closed(
  { material, updates, updating }: CoapKeys,
  { reservedEnd, failedVerifications }: ChannelUse,
): Uint8Array {
  return cbor.array(
    cbor.bytes(storeMaterial(material)),
    cbor.integer(updates),
    cbor.boolean(updating),
    cbor.integer(reservedEnd),
    cbor.integer(failedVerifications),
  );
}
