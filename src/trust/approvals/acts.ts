/**
 * The acts that take two persons, what each is about, and who may ask for it and allow it. An act is its
 * parameters: what is approved is compared byte by byte with what is done.
 */
import { compare } from '../../wire/bytes/bytes.ts';
import { CborReader } from '../../wire/cbor/reader.ts';
import * as cbor from '../../wire/cbor/writer.ts';
import type { OperatorRole } from '../ports/approvalStore.ts';
import type { AnchorDecision, SecretOrder } from '../ports/enrolmentDesk.ts';
import type { ProfilePolicy } from '../ports/grantStore.ts';
import type { OrderRaise, OrderRequest, TicketRequest } from '../ports/operatorAuthority.ts';
import type { StatusOrder } from '../ports/statusOrders.ts';

/** Plain data: texts, whole numbers, booleans, bytes, lists and objects of these. */
export interface ActRequests {
  readonly 'order.create': OrderRequest;
  readonly 'order.raise': OrderRaise;
  readonly 'ticket.issue': TicketRequest;
  readonly 'batch.close': { readonly batch: string };
  /** `key` is DER of SubjectPublicKeyInfo: a request of PKCS#10 is signed anew each time. */
  readonly 'station.enrol': { readonly name: string; readonly key: Uint8Array };
  readonly 'anchor.pin': AnchorDecision;
  readonly 'anchor.retire': { readonly product: string; readonly sha256: Uint8Array };
  readonly 'status.mass': Omit<StatusOrder, 'dryRun'>;
  readonly 'operator.add': {
    readonly name: string;
    readonly role: OperatorRole;
    readonly key: Uint8Array;
  };
  readonly 'operator.grant': { readonly name: string; readonly role: OperatorRole };
  readonly 'operator.withdraw': { readonly name: string; readonly role: OperatorRole };
  readonly 'operator.revoke': { readonly name: string };
  readonly 'limit.mass': { readonly devices: number };
  readonly 'root.use': RootUse;
  readonly 'authority.announce': {
    readonly role: string;
    readonly algorithm?: string;
    readonly key?: string;
    readonly newName?: boolean;
    /** Name of the profile of its certificate. */
    readonly profile?: string;
    /** Role of one more authority; `role` is its name then. */
    readonly adds?: string;
    /** Of one more root that is on another machine: over its certificate. */
    readonly rootSha256?: Uint8Array;
    /** Births that this one is for. */
    readonly serves?: { readonly products: readonly string[]; readonly batches: readonly string[] };
  };
  readonly 'authority.switch': { readonly role: string };
  readonly 'authority.remove': { readonly role: string };
  /** SHA-256 over the document that takes the place of the present one. */
  readonly 'profile.change': { readonly profile: string; readonly sha256: Uint8Array };
  readonly 'policy.change': ProfilePolicy;
  readonly 'secret.create': SecretOrder;
  readonly 'case.close': { readonly case: string };
  /** `subject`: name of the log whose key is lost. */
  readonly 'key.replace': { readonly subject: string };
  /** What a restored store was found to lack, in numbers, for whoever looks at it before it starts. */
  readonly 'store.release': { readonly report: Readonly<Record<string, number | string>> };
}

/** All that the root's key is opened for. */
export interface RootUse {
  /** For people. */
  readonly what: string;
  /** `key` is DER of SubjectPublicKeyInfo. */
  readonly certificates: ReadonlyArray<{
    readonly profile: string;
    readonly name: string;
    readonly key: Uint8Array;
  }>;
  /** SHA-256 of certificates of authorities that its list names from then on. */
  readonly revokes: readonly Uint8Array[];
  /** What else the lists of the roots say: SHA-256 over serial numbers, reasons and times. */
  readonly lists: ReadonlyArray<{
    readonly authority: string;
    readonly entries: number;
    readonly sha256: Uint8Array;
  }>;
}

export type ActKind = keyof ActRequests;

export interface ActRule {
  readonly requesters: readonly OperatorRole[];
  /** `undefined`: what takes power away must not wait for a second person. */
  readonly approvers: readonly OperatorRole[] | undefined;
}

const admins: ActRule = { requesters: ['admin'], approvers: ['admin'] };
const production: ActRule = {
  requesters: ['operator', 'admin'],
  approvers: ['operator', 'admin'],
};
const stations: ActRule = {
  requesters: ['station-manager', 'operator', 'admin'],
  approvers: ['operator', 'admin'],
};
const oneAdmin: ActRule = { requesters: ['admin'], approvers: undefined };

export const actRules: Readonly<Record<ActKind, ActRule>> = {
  'order.create': production,
  'order.raise': production,
  'ticket.issue': stations,
  'batch.close': production,
  'station.enrol': { ...stations, approvers: ['station-manager', 'operator', 'admin'] },
  'anchor.pin': admins,
  'anchor.retire': admins,
  'status.mass': production,
  'operator.add': admins,
  'operator.grant': admins,
  'operator.withdraw': oneAdmin,
  'operator.revoke': oneAdmin,
  'limit.mass': admins,
  'root.use': admins,
  'authority.announce': admins,
  'authority.switch': admins,
  'authority.remove': admins,
  'profile.change': admins,
  'policy.change': admins,
  'secret.create': production,
  'case.close': admins,
  'key.replace': admins,
  'store.release': admins,
};

export function isActKind(text: string): text is ActKind {
  return Object.hasOwn(actRules, text);
}

/** Deterministic CBOR (RFC 8949 §4.2.1); members that are `undefined` are not there. */
export function encodeParameters(request: object): Uint8Array {
  return encodePlain(request);
}

/** Parameters as they stand in a document, for people. */
export type Plain =
  | string
  | number
  | boolean
  | Uint8Array
  | readonly Plain[]
  | { readonly [name: string]: Plain };

/** Throws a `MalformedError` for what `encodeParameters` does not write. */
export function readParameters(bytes: Uint8Array): { readonly [name: string]: Plain } {
  const reader = new CborReader(bytes);
  const parameters = readMap(reader, 0);
  reader.end();
  return parameters;
}

/** Deeper than any act is. */
const maximumDepth = 4;

function encodePlain(value: unknown): Uint8Array {
  if (typeof value === 'string') return cbor.text(value);
  if (typeof value === 'number') return cbor.integer(value);
  if (typeof value === 'boolean') return cbor.boolean(value);
  if (value instanceof Uint8Array) return cbor.bytes(value);
  if (Array.isArray(value)) return cbor.array(...value.map(encodePlain));
  if (typeof value !== 'object' || value === null) {
    throw new TypeError(`a parameter of an act is no ${typeof value}`);
  }
  const members = Object.entries(value).filter(([, member]) => member !== undefined);
  return cbor.map(
    ...members.map(([name, member]) => [cbor.text(name), encodePlain(member)] as const),
  );
}

function readMap(reader: CborReader, depth: number): { readonly [name: string]: Plain } {
  const entries: Array<readonly [string, Plain]> = [];
  let before: Uint8Array | undefined;
  for (let count = reader.map(); count > 0; count--) {
    const start = reader.offset;
    const name = reader.text();
    const key = reader.since(start);
    // RFC 8949 §4.2.1: in bytewise order, which also makes each key the only one of its name.
    if (before !== undefined && compare(before, key) >= 0) reader.fail('keys out of order');
    before = key;
    entries.push([name, readPlain(reader, depth + 1)]);
  }
  return Object.fromEntries(entries);
}

function readPlain(reader: CborReader, depth: number): Plain {
  if (depth > maximumDepth) reader.fail(`nested deeper than ${maximumDepth}`);
  switch (reader.peek()) {
    case 'text':
      return reader.text();
    case 'unsigned':
    case 'negative':
      return reader.integer();
    case 'bytes':
      return reader.bytes().slice();
    case 'array':
      return Array.from({ length: reader.array() }, () => readPlain(reader, depth + 1));
    case 'map':
      return readMap(reader, depth);
    case 'simple':
      return reader.boolean();
    case 'tag':
      return reader.fail('a tag in parameters');
  }
}
