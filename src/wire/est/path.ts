/** URI paths of EST (RFC 7030 §3.2.2): `/.well-known/est/[label/]operation`. */

export const estOperations = [
  'cacerts',
  'simpleenroll',
  'simplereenroll',
  'fullcmc',
  'serverkeygen',
  'csrattrs',
] as const;

export type EstOperation = (typeof estOperations)[number];

export interface EstPath {
  /** Chooses a profile; absent where the server's own choice is asked for. */
  readonly label?: string;
  readonly operation: EstOperation;
}

const prefix = '/.well-known/est/';

/** `undefined` for everything that is no EST path. A query is no part of a path. */
export function parseEstPath(path: string): EstPath | undefined {
  if (!path.startsWith(prefix)) return undefined;
  const segments = path.slice(prefix.length).split('/');
  const operation = estOperations.find((name) => name === segments.at(-1));
  if (operation === undefined) return undefined;
  if (segments.length === 1) return { operation };
  const [label = ''] = segments;
  return segments.length === 2 && isEstLabel(label) ? { label, operation } : undefined;
}

/** Unreserved characters of a URI, at most 64; never the name of an operation (RFC 7030 §3.2.2). */
export function isEstLabel(text: string): boolean {
  return /^[A-Za-z0-9._~-]{1,64}$/.test(text) && !estOperations.some((name) => name === text);
}

export function estPath({ label, operation }: EstPath): string {
  return label === undefined ? prefix + operation : `${prefix}${label}/${operation}`;
}
