/** The lists at the door: fetched from the authority once each, kept until a newer one is published. */
import { parseCertificateList } from '../../wire/crl/certificateList.ts';
import { EnvironmentError } from '../ports/faults.ts';
import type { StatusAuthority } from '../ports/statusAuthority.ts';
import type { ListName } from '../ports/statusStore.ts';

export interface DoorList {
  readonly der: Uint8Array;
  readonly thisUpdateMs: number;
  readonly nextUpdateMs: number;
}

export class PublishedLists {
  readonly #authority: Pick<StatusAuthority, 'list'>;
  readonly #kept = new Map<string, DoorList>();
  readonly #stale = new Set<string>();
  readonly #coming = new Map<string, Promise<DoorList | undefined>>();

  constructor(authority: Pick<StatusAuthority, 'list'>) {
    this.#authority = authority;
  }

  /**
   * `undefined` for a name that no list has. While the authority is away the last list serves on; rejects
   * with an `EnvironmentError` when there is none.
   */
  async list(name: ListName): Promise<DoorList | undefined> {
    const key = keyOf(name);
    const kept = this.#kept.get(key);
    if (kept !== undefined && !this.#stale.has(key)) return kept;
    try {
      return await (this.#coming.get(key) ?? this.#fetch(name, key));
    } catch (error) {
      if (kept !== undefined && error instanceof EnvironmentError) return kept;
      throw error;
    }
  }

  /** Newer ones were published. */
  replaced(names: readonly ListName[]): void {
    for (const name of names) {
      this.#stale.add(keyOf(name));
      this.#coming.delete(keyOf(name));
    }
  }

  /** When what was published is not known. */
  replacedAll(): void {
    this.#coming.clear();
    for (const key of this.#kept.keys()) this.#stale.add(key);
  }

  #fetch(name: ListName, key: string): Promise<DoorList | undefined> {
    const coming = this.#authority
      .list(name)
      .then((der) => {
        const list = der && readList(der);
        if (this.#coming.get(key) === coming && list !== undefined) {
          this.#kept.set(key, list);
          this.#stale.delete(key);
        }
        return list;
      })
      .finally(() => {
        if (this.#coming.get(key) === coming) this.#coming.delete(key);
      });
    this.#coming.set(key, coming);
    return coming;
  }
}

function keyOf({ authority, shard }: ListName): string {
  return `${authority}/${shard}`;
}

/** RFC 5280 §5.1.2.5: our lists always say when the next one comes. */
function readList(der: Uint8Array): DoorList {
  const { thisUpdateMs, nextUpdateMs } = parseCertificateList(der);
  return { der, thisUpdateMs, nextUpdateMs: nextUpdateMs ?? thisUpdateMs };
}
