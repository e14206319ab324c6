/** What the authority tells of the status of its certificates to whoever stands at the door for it. */
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

export class StatusDesk implements StatusAuthority {
  readonly #store: StatusStore;
  readonly #responder: Responder;
  readonly #certificates: ReadonlyMap<string, Uint8Array>;

  /** `certificates`: of the authorities, DER, by name. */
  constructor(
    store: StatusStore,
    responder: Responder,
    certificates: ReadonlyMap<string, Uint8Array> = new Map(),
  ) {
    this.#store = store;
    this.#responder = responder;
    this.#certificates = certificates;
  }

  ocsp(authority: string, request: Uint8Array): Promise<SignedAnswer | Unsuccessful> {
    return this.#responder.answer(authority, request);
  }

  certificate(authority: string): Promise<Uint8Array | undefined> {
    return Promise.resolve(this.#certificates.get(authority));
  }

  async list(name: ListName): Promise<Uint8Array | undefined> {
    return (await this.#store.list(name))?.der;
  }

  async lists(): Promise<readonly ListSummary[]> {
    // One that is published meanwhile comes again, later and newer.
    const lists = new Map<string, ListSummary>();
    let after = 0;
    for (;;) {
      const page = await this.#store.listsAfter(after, pageEntries);
      for (const list of page) lists.set(`${list.authority}/${list.shard}`, list);
      after = page.at(-1)?.publication ?? after;
      if (page.length < pageEntries) return [...lists.values()];
    }
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

  isKnown(selection: UnitSelection): Promise<boolean> {
    return this.#store.isKnown(selection);
  }

  async #last(): Promise<NewsCursor> {
    const change = await this.#store.lastChange();
    const publication = await this.#store.lastPublication();
    return { change, publication };
  }
}
