/** A route of the API that the authority answers, as data. */
import type { Admission } from './callers.ts';

export interface Route {
  readonly method: 'GET' | 'POST';
  /** Here below `/api/v1`, at the authority below `/v1`. */
  readonly url: string;
  readonly id: string;
  readonly tag: string;
  readonly summary: string;
  /** Schema of the document, or the media type of other content. */
  readonly answer: object | string;
  readonly may?: Admission;
  readonly params?: object;
  readonly querystring?: object;
  readonly body?: object;
  /** The authority is told who asks, as `by`. */
  readonly namesCaller?: boolean;
  /** What the act changes, named by the body: a url of a `GET` here, whose tag If-Match may name. */
  readonly changes?: string;
  /** The answer holds a secret that nobody is told again. */
  readonly isToldOnce?: boolean;
}

export function read(
  url: string,
  id: string,
  tag: string,
  summary: string,
  answer: object | string,
  may?: Admission,
): Route {
  return { method: 'GET', url, id, tag, summary, answer, ...(may === undefined ? {} : { may }) };
}

export function act(
  url: string,
  id: string,
  tag: string,
  summary: string,
  body: object,
  answer: object,
): Route {
  return { method: 'POST', url, id, tag, summary, body, answer };
}
