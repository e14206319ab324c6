/** What the authority tells of the status of its certificates to whoever stands at the door for it. */
import { maximumShards } from '../../wire/crl/shard.ts';
import type { Unsuccessful } from '../../wire/ocsp/response.ts';
import type {
  NewsCursor,
  SignedAnswer,
  StatusAuthority,
  StatusNews,
} from '../ports/statusAuthority.ts';
import type {
  DevicePageOfSelection,
  ListName,
  ListSummary,
  StatusStore,
  UnitSelection,
} from '../ports/statusStore.ts';
import type { Responder } from './responder.ts';

/** Of news, and of devices. */
const pageEntries = 1_000;
/** Of every authority there is. */
const maximumLists = 4 * maximumShards;

export class StatusDesk implements StatusAuthority {
  readonly #store: StatusStore;
  readonly #responder: Responder;

  constructor(store: StatusStore, responder: Responder) {
    this.#store = store;
    this.#responder = responder;
  }

  ocsp(authority: string, request: Uint8Array): Promise<SignedAnswer | Unsuccessful> {
    return this.#responder.answer(authority, request);
  }

  async list(name: ListName): Promise<Uint8Array | undefined> {
    return (await this.#store.list(name))?.der;
  }

  lists(): Promise<readonly ListSummary[]> {
    return this.#store.listsAfter(0, maximumLists);
  }

  async statusNews(cursor: NewsCursor | undefined): Promise<StatusNews> {
    const last = await this.#last();
    if (cursor === undefined) return { cursor: last, holders: [], lists: [], more: false };
    const changes = await this.#store.changesAfter(cursor.change, pageEntries);
    const lists = await this.#store.listsAfter(cursor.publication, pageEntries);
    return {
      cursor: {
        // Behind the reader's own when this database was put back to an earlier state.
        change: changes.at(-1)?.change ?? last.change,
        publication: lists.at(-1)?.publication ?? last.publication,
      },
      holders: [...new Set(changes.map(({ holder }) => holder))],
      lists: lists.map(({ authority, shard }) => ({ authority, shard })),
      more: changes.length === pageEntries || lists.length === pageEntries,
    };
  }

  devicesOf(selection: UnitSelection, after: string | undefined): Promise<DevicePageOfSelection> {
    return this.#store.devicesOf(selection, after, pageEntries);
  }

  async #last(): Promise<NewsCursor> {
    const change = await this.#store.lastChange();
    const publication = await this.#store.lastPublication();
    return { change, publication };
  }
}
