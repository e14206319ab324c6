/** EST over CoAP (RFC 9148 §4): the short names of its functions, where they are, and their content formats. */
import type { EstOperation, EstPath } from './path.ts';
import { isEstLabel } from './path.ts';

export type CoapEstOperation = Extract<
  EstOperation,
  'cacerts' | 'simpleenroll' | 'simplereenroll' | 'csrattrs'
>;

/** RFC 9148 Table 1. */
export const coapEstNames: Readonly<Record<CoapEstOperation, string>> = {
  cacerts: 'crts',
  simpleenroll: 'sen',
  simplereenroll: 'sren',
  csrattrs: 'att',
};

/** Optional, and not offered: a key that was made elsewhere is no key of an element. */
export const withheldNames: readonly string[] = ['skg', 'skc'];

const wellKnownRoot = '/.well-known/est';
/** RFC 9148 §4.1: a root of the server's choice; one character, since on a radio every byte counts. */
const shortRoot = '/e';

export interface CoapEstPath extends Omit<EstPath, 'operation'> {
  readonly operation: CoapEstOperation | 'withheld';
}

/** `undefined` for everything that is no EST path. */
export function parseCoapEstPath(path: string): CoapEstPath | undefined {
  const root = [wellKnownRoot, shortRoot].find((one) => path.startsWith(`${one}/`));
  if (root === undefined) return undefined;
  const [first = '', second, ...more] = path.slice(root.length + 1).split('/');
  if (more.length > 0) return undefined;
  const operation = operationOf(second ?? first);
  if (operation === undefined) return undefined;
  if (second === undefined) return { operation };
  const isLabel = isEstLabel(first) && operationOf(first) === undefined;
  return isLabel ? { label: first, operation } : undefined;
}

export function coapEstPath(operation: CoapEstOperation, form: 'short' | 'well-known'): string {
  return `${form === 'short' ? shortRoot : wellKnownRoot}/${coapEstNames[operation]}`;
}

/**
 * Content formats of C509 (draft-ietf-cose-cbor-encoded-cert §9.17), which are not registered: both ends
 * have to be configured alike.
 */
export interface C509ContentFormats {
  /** application/cose-c509-cert with one certificate, and with usage=chain. */
  readonly certificate: number;
  readonly chain: number;
  /** application/cose-c509-pkcs10. */
  readonly request: number;
  /** application/cose-c509-crtemplate. */
  readonly template: number;
}

/** Of the range for experiments (RFC 7252 §12.3). */
export const experimentalC509Formats: C509ContentFormats = {
  certificate: 65_003,
  chain: 65_015,
  request: 65_004,
  template: 65_019,
};

function operationOf(name: string): CoapEstOperation | 'withheld' | undefined {
  if (withheldNames.includes(name)) return 'withheld';
  for (const operation of operations) {
    if (coapEstNames[operation] === name) return operation;
  }
  return undefined;
}

const operations: readonly CoapEstOperation[] = [
  'cacerts',
  'simpleenroll',
  'simplereenroll',
  'csrattrs',
];
