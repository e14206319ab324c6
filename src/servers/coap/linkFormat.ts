/** `/.well-known/core` (RFC 6690): what is here, in link format, filtered by one query parameter. */
import { fromUtf8 } from '../../wire/bytes/utf8.ts';

export interface WebLink {
  readonly path: string;
  /** In their order; a name may occur more than once, and without a value it is a flag. */
  readonly attributes: ReadonlyArray<readonly [name: string, value?: string]>;
}

/** RFC 6690 §2: values are quoted where they are no plain token or number. */
export function linkFormat(links: readonly WebLink[]): string {
  return links
    .map(({ path, attributes }) => [`<${path}>`, ...attributes.map(writeAttribute)].join(';'))
    .join(',');
}

/**
 * RFC 6690 §4.1: one `name=value`, where a value that ends in `*` stands for everything that begins so.
 * Without a query all of them; a query that cannot be read fits none.
 */
export function filterLinks(
  links: readonly WebLink[],
  queries: readonly Uint8Array[],
): readonly WebLink[] {
  const [first, ...more] = queries;
  if (first === undefined) return links;
  const [name, wanted] = splitOnce(fromUtf8(first) ?? '');
  if (name === '' || more.length > 0) return [];
  return links.filter((link) => valuesOf(link, name).some((value) => fits(value, wanted)));
}

function valuesOf({ path, attributes }: WebLink, name: string): readonly string[] {
  if (name === 'href') return [path];
  return attributes.flatMap(([attribute, value = '']) =>
    // §4.1: a relation of several words, separated by spaces, fits by each of them.
    attribute === name ? value.split(' ') : [],
  );
}

function fits(value: string, wanted: string | undefined): boolean {
  if (wanted === undefined) return true;
  return wanted.endsWith('*') ? value.startsWith(wanted.slice(0, -1)) : value === wanted;
}

function splitOnce(query: string): readonly [string, string | undefined] {
  const separator = query.indexOf('=');
  return separator < 0
    ? [query, undefined]
    : [query.slice(0, separator), query.slice(separator + 1)];
}

function writeAttribute([name, value]: readonly [string, string?]): string {
  if (value === undefined) return name;
  return /^[\w.-]+$/.test(value) ? `${name}=${value}` : `${name}="${value}"`;
}
