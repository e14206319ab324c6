/** What a sensor keeps of its sessions across a loss of power: three values, always changed together. */
import type { Crypto } from '../../wire/crypto/crypto.ts';
import type { PskCredential } from '../../wire/edhoc/psk.ts';
import type { DeviceStore } from '../ports/deviceStore.ts';
import type { ChannelUse } from './channel.ts';
import {
  encodeResumption,
  parseResumption,
  resumptionRecordName,
  sessionRecordName,
  standbyRecordName,
} from './record.ts';
import type { ResumptionMethod } from './resumption.ts';
import { type LiveSession, restoredState, type SessionState, storedForm } from './sessionState.ts';

export interface Resumption {
  readonly psk: PskCredential;
  /** Resumptions in a row since the long-term keys were used. */
  readonly uses: number;
}

export interface Remembered {
  readonly state: SessionState | undefined;
  /** The session that a renewal is to replace, as long as the server cannot have replaced it. */
  readonly standby: LiveSession | undefined;
  readonly resumption: Resumption | undefined;
}

export class SessionMemory {
  readonly #store: DeviceStore;
  readonly #crypto: Crypto;
  readonly #method: ResumptionMethod | undefined;

  constructor(store: DeviceStore, crypto: Crypto, method: ResumptionMethod | undefined) {
    this.#store = store;
    this.#crypto = crypto;
    this.#method = method;
  }

  /** Throws a `MalformedError` on what was not written here. */
  async read(): Promise<Remembered> {
    const [state, standby, resumption] = await Promise.all([
      this.#store.read(sessionRecordName),
      this.#store.read(standbyRecordName),
      this.#store.read(resumptionRecordName),
    ]);
    const before = standby === undefined ? undefined : restoredState(this.#crypto, standby);
    return {
      state: state && restoredState(this.#crypto, state, this.#method),
      standby: before?.kind === 'live' ? before : undefined,
      resumption: resumption && this.#openResumption(resumption),
    };
  }

  /** `use` is what holds of the state's numbers once this is durable; by default what holds now. */
  keep({ state, standby, resumption }: Remembered, use?: ChannelUse): Promise<void> {
    // draft-ietf-lake-edhoc-psk: before the fourth message nothing of a resumed session is stored. After a
    // loss of power it is made again, with the resumption key that both still have.
    const storable = state?.kind === 'unconfirmed' && state.resumed ? undefined : state;
    return this.#store.commit(
      new Map([
        [sessionRecordName, storable === undefined ? undefined : storedForm(storable, use)],
        [standbyRecordName, standby === undefined ? undefined : storedForm(standby)],
        [resumptionRecordName, resumption && this.#closed(resumption)],
      ]),
    );
  }

  #openResumption(stored: Uint8Array): Resumption | undefined {
    if (this.#method === undefined) return undefined;
    const { psk, uses } = parseResumption(stored);
    return { psk: this.#method.restoreKey(this.#crypto, psk), uses };
  }

  #closed({ psk, uses }: Resumption): Uint8Array | undefined {
    const stored = this.#method?.storeKey(this.#crypto, psk);
    return stored && encodeResumption({ psk: stored, uses });
  }
}
