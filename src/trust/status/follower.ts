/**
 * Keeps what is at the door in step with the authority: elements are scrapped at the line, another server
 * revokes, lists are signed. What was revoked here is dropped at once and does not wait for this.
 */
import type { NewsCursor, StatusAuthority } from '../ports/statusAuthority.ts';
import type { Answers } from './answers.ts';
import type { PublishedLists } from './publishedLists.ts';

export interface FollowerOptions {
  readonly authority: Pick<StatusAuthority, 'statusNews'>;
  readonly answers: Answers;
  readonly lists: PublishedLists;
}

export class StatusFollower {
  readonly #options: FollowerOptions;
  #cursor: NewsCursor | undefined;

  constructor(options: FollowerOptions) {
    this.#options = options;
  }

  /** To be called every second or so. Rejects with an `EnvironmentError` while the authority is away. */
  async advance(): Promise<void> {
    const { authority, answers, lists } = this.#options;
    for (;;) {
      const before = this.#cursor;
      const news = await authority.statusNews(before);
      if (before === undefined || isBehind(news.cursor, before)) {
        // The first time, or the authority was put back to an earlier state: nothing kept is known to be true.
        answers.forgetAll();
        lists.replacedAll();
        this.#cursor = before === undefined ? news.cursor : undefined;
      } else {
        if (news.holders.length > 0) answers.forget(new Set(news.holders));
        lists.replaced(news.lists);
        this.#cursor = news.cursor;
      }
      if (this.#cursor !== undefined && !news.more) return;
    }
  }
}

function isBehind(now: NewsCursor, before: NewsCursor): boolean {
  return now.change < before.change || now.publication < before.publication;
}
