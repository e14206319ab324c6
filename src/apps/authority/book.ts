/**
 * Which authorities there are: `authorities.json`. For each its role, its algorithm, where its key is, and
 * whether it issues. Several of one role stand side by side while one takes over from another, and roots
 * of different algorithms for as long as anybody wants.
 */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { CertificateSignatureAlgorithm } from '../../trust/ports/keys.ts';
import type { Serves } from '../../trust/issuance/issuer.ts';
import { MalformedError } from '../../wire/bytes/malformed.ts';
import {
  type AuthorityName,
  authorityNames,
  type AuthorityPaths,
  certificatePath,
  writeWhole,
} from './authorityFolder.ts';

/** `announced`: published, and issues nothing yet. `retired`: believed, and issues no more. `removed`: neither. */
export const authorityStates = ['announced', 'active', 'retired', 'removed'] as const;

export type AuthorityState = (typeof authorityStates)[number];

export const authorityAlgorithms: readonly CertificateSignatureAlgorithm[] = [
  'ecdsa-with-SHA256',
  'ecdsa-with-SHA384',
  'Ed25519',
  'ML-DSA-44',
  'ML-DSA-65',
  'ML-DSA-87',
  'SLH-DSA-SHA2-128s',
];

export interface AuthorityRecord {
  /** Of its key and of its certificate file. */
  readonly name: string;
  readonly role: AuthorityName;
  readonly algorithm: CertificateSignatureAlgorithm;
  /** The record whose common name it has: RFC 4210 §4.4, a new key under the same name. */
  readonly sharesNameOf?: string;
  /** A PKCS#11 URI (RFC 7512), `offline` for a root's on another machine; absent for an encrypted file in the folder. */
  readonly key?: string;
  /** Of a factory authority that is for some births alone; absent for the one that is for all others. */
  readonly serves?: Serves;
  readonly state: AuthorityState;
}

/** Where the key of a root is that stays on another machine. */
export const offlineKey = 'offline';

export const defaultBook: readonly AuthorityRecord[] = authorityNames.map((role) => ({
  name: role,
  role,
  algorithm: 'ecdsa-with-SHA256',
  state: 'active',
}));

export function hasBook({ folder }: AuthorityPaths): Promise<boolean> {
  return Promise.resolve(existsSync(join(folder, bookFile)));
}

/** The default where none was written. Throws a `MalformedError` that names the member. */
export async function readBook(
  { folder }: AuthorityPaths,
  roles: readonly AuthorityName[] = authorityNames,
): Promise<readonly AuthorityRecord[]> {
  let text: string;
  try {
    text = await readFile(join(folder, bookFile), 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return defaultBook;
    throw error;
  }
  const parsed: unknown = JSON.parse(text);
  return parseBook(parsed, roles);
}

/** Without those that still wait for the certificate of a root on another machine. */
export async function readCertifiedBook(
  paths: AuthorityPaths,
): Promise<readonly AuthorityRecord[]> {
  const book = await readBook(paths);
  return book.filter(
    ({ name, state }) => state !== 'announced' || existsSync(certificatePath(paths, name)),
  );
}

/** From JSON as a person may have written it. Throws a `MalformedError` that names the member. */
export function parseBook(
  parsed: unknown,
  roles: readonly AuthorityName[] = authorityNames,
): readonly AuthorityRecord[] {
  if (!Array.isArray(parsed)) fail('no list');
  const records = parsed.map(recordOf);
  const names = new Set(records.map(({ name }) => name));
  if (names.size !== records.length) fail('two authorities of one name');
  for (const role of roles) active(records, role);
  for (const { name, role, algorithm, key } of records) {
    // Four signatures a second: enough for a handful of authorities, and for nothing else.
    if (algorithm === 'SLH-DSA-SHA2-128s' && role !== 'root') {
      fail(`${name}: ${algorithm} is for roots`);
    }
    if (key === offlineKey && role !== 'root') fail(`${name}: a root alone stays off line`);
  }
  for (const record of records.filter(({ serves }) => serves !== undefined)) {
    const { name, role } = record;
    if (role !== 'factory' || !name.startsWith('factory-')) {
      fail(`${name}: a factory authority alone, called factory-..., is for some products`);
    }
    if (record.state === 'removed') continue;
    // One that is the first of its line waits for its root as announced, and nobody issues meanwhile.
    const isBegun = records.some(
      (one) => lineOf(one) === lineOf(record) && one.state !== 'announced',
    );
    if (isBegun) active(records, lineOf(record));
    const also = records.find((one) => lineOf(one) !== lineOf(record) && overlap(one, record));
    if (also !== undefined) fail(`${name} and ${also.name} are for the same births`);
  }
  return records;
}

export async function writeBook(
  { folder }: AuthorityPaths,
  records: readonly AuthorityRecord[],
): Promise<void> {
  await writeWhole(join(folder, bookFile), `${JSON.stringify(records, undefined, 2)}\n`);
}

/**
 * What stays the same from one generation to the next: the role, or the first name of an authority that is
 * for some births alone.
 */
export function lineOf({ name, role, serves, sharesNameOf = name }: AuthorityRecord): string {
  return serves === undefined ? role : sharesNameOf;
}

/** The one of a line that issues; of roots the first, which the others stand beside. */
export function active(records: readonly AuthorityRecord[], line: string): AuthorityRecord {
  const [first, ...more] = records.filter((one) => lineOf(one) === line && one.state === 'active');
  if (first === undefined || (more.length > 0 && line !== 'root')) {
    return fail(`not one active authority ${line}`);
  }
  return first;
}

/** The next free name of a line: operational-2, operational-3, ... */
export function nextName(records: readonly AuthorityRecord[], line: string): string {
  const taken = new Set(records.map(({ name }) => name));
  let number = 2;
  while (taken.has(`${line}-${number}`)) number += 1;
  return `${line}-${number}`;
}

const bookFile = 'authorities.json';

function recordOf(entry: unknown): AuthorityRecord {
  const member = (name: string): unknown =>
    typeof entry === 'object' && entry !== null ? Reflect.get(entry, name) : undefined;
  const one = <Word extends string>(name: string, words: readonly Word[]): Word =>
    words.find((word) => word === member(name)) ?? fail(name);
  const name = member('name');
  const key = member('key');
  const sharesNameOf = member('sharesNameOf');
  if (typeof name !== 'string' || !/^[a-z][a-z0-9-]{0,39}$/.test(name)) fail('name');
  if (sharesNameOf !== undefined && typeof sharesNameOf !== 'string') fail('sharesNameOf');
  if (key !== undefined && typeof key !== 'string') fail('key');
  return {
    name,
    role: one('role', authorityNames),
    algorithm: one('algorithm', authorityAlgorithms),
    ...(key === undefined ? {} : { key }),
    ...(sharesNameOf === undefined ? {} : { sharesNameOf }),
    ...servesOf(member('serves')),
    state: one('state', authorityStates),
  };
}

function overlap(
  { serves: left, state }: AuthorityRecord,
  { serves: right }: AuthorityRecord,
): boolean {
  if (left === undefined || right === undefined || state === 'removed') return false;
  return (
    left.products.some((product) => right.products.includes(product)) ||
    left.batches.some((batch) => right.batches.includes(batch))
  );
}

function servesOf(value: unknown): { readonly serves?: Serves } {
  if (value === undefined) return {};
  const list = (name: string): readonly string[] => {
    const found: unknown =
      typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;
    if (found === undefined) return [];
    if (!Array.isArray(found)) return fail(`serves: ${name}`);
    return found.map((one: unknown) => (typeof one === 'string' ? one : fail(`serves: ${name}`)));
  };
  const serves = { products: list('products'), batches: list('batches') };
  if (serves.products.length + serves.batches.length === 0) fail('serves nothing');
  return { serves };
}

function fail(problem: string): never {
  throw new MalformedError(bookFile, 0, problem);
}
