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
import { birthRoles } from '../../trust/issuance/profile.ts';
import { EnvironmentError } from '../../trust/ports/faults.ts';
import { MalformedError } from '../../wire/bytes/malformed.ts';
import {
  type AuthorityName,
  authorityNames,
  type AuthorityPaths,
  type AuthorityRole,
  authorityRoles,
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
  readonly role: AuthorityRole;
  readonly algorithm: CertificateSignatureAlgorithm;
  /** Name of the profile of its certificate; absent for that of its role. */
  readonly profile?: string;
  /** The record whose common name it has: RFC 4210 §4.4, a new key under the same name. */
  readonly sharesNameOf?: string;
  /** First name of its line, where it follows an authority whose common name it has not. */
  readonly line?: string;
  /** A PKCS#11 URI (RFC 7512), `offline` for a root's on another machine; absent for an encrypted file in the folder. */
  readonly key?: string;
  /** Of an authority that is for some births alone; absent for the one of its role that is for all others. */
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
  const fault = faultOfBook(records, roles);
  return fault === undefined ? records : fail(fault);
}

/** What authorities contradict each other in; `undefined` when they may stand together. */
export function faultOfBook(
  records: readonly AuthorityRecord[],
  roles: readonly AuthorityName[] = authorityNames,
): string | undefined {
  const names = new Set(records.map(({ name }) => name));
  if (names.size !== records.length) return 'two authorities of one name';
  for (const record of records) {
    const fault = faultOfRecord(record);
    if (fault !== undefined) return `${record.name}: ${fault}`;
  }
  // One that is the first of its line waits for its root as announced, and nobody issues meanwhile.
  const begun = new Set(records.filter(({ state }) => state !== 'announced').map(lineOf));
  const standing = records.filter(({ state }) => state !== 'removed').map(lineOf);
  for (const line of new Set([...roles, ...standing.filter((one) => begun.has(one))])) {
    if (soleActive(records, line) === undefined) return notOneActive(line);
  }
  for (const record of records) {
    if (record.state === 'removed') continue;
    const also = records.find((one) => lineOf(one) !== lineOf(record) && overlap(one, record));
    if (also !== undefined) return `${record.name} and ${also.name} are for the same devices`;
  }
  return undefined;
}

function faultOfRecord(record: AuthorityRecord): string | undefined {
  const { name, role, algorithm, key, serves } = record;
  // Four signatures a second: enough for a handful of authorities, and for nothing else.
  if (algorithm === 'SLH-DSA-SHA2-128s' && role !== 'root') return `${algorithm} is for roots`;
  if (key === offlineKey && role !== 'root') return 'a root alone stays off line';
  // A door shows one certificate to all devices, so that they pin one authority of servers.
  const isChosen = birthRoles.includes(role) || role === 'operational';
  if (serves !== undefined && !(isChosen && name.startsWith(`${role}-`))) {
    return `one that certifies devices, called ${role}-..., may be for some of them alone`;
  }
  const isForeign = !authorityNames.some((one) => one === role);
  if (!isForeign) return undefined;
  if (algorithm !== 'ecdsa-with-SHA256') return 'whoever reads its certificates knows P-256';
  // The last four digits of its common name are how a reader of a chip finds it.
  if (role === 'chip-signer' && !/^chip-signer-[0-9a-f]{4}$/.test(name)) {
    return 'it is called chip-signer- and four hexadecimal digits';
  }
  return name === role || name.startsWith(`${role}-`) ? undefined : `it is called ${role}-...`;
}

export async function writeBook(
  { folder }: AuthorityPaths,
  records: readonly AuthorityRecord[],
): Promise<void> {
  await writeWhole(join(folder, bookFile), `${JSON.stringify(records, undefined, 2)}\n`);
}

/**
 * What stays the same from one generation to the next: the role, or the first name of an authority that is
 * one of several in its role.
 */
export function lineOf({ name, role, serves, sharesNameOf = name, line }: AuthorityRecord): string {
  return serves === undefined && role !== 'matter-pai' ? role : (line ?? sharesNameOf);
}

/** The one of a line that issues; of roots the first, which the others stand beside. */
export function active(records: readonly AuthorityRecord[], line: string): AuthorityRecord {
  return soleActive(records, line) ?? fail(notOneActive(line));
}

function soleActive(
  records: readonly AuthorityRecord[],
  line: string,
): AuthorityRecord | undefined {
  const [first, ...more] = records.filter((one) => lineOf(one) === line && one.state === 'active');
  return more.length > 0 && line !== 'root' ? undefined : first;
}

function notOneActive(line: string): string {
  return `not one active authority ${line}`;
}

/** A line, or the line of an authority of that name. Throws an `EnvironmentError` when there is neither. */
export function lineNamed(records: readonly AuthorityRecord[], text: string): string {
  const found =
    records.find((record) => lineOf(record) === text) ?? records.find(({ name }) => name === text);
  if (found !== undefined) return lineOf(found);
  throw new EnvironmentError(`no authority is called ${text}`, { retryable: false });
}

/** The next of its line, announced: of its name, unless told or a signer of chips, whose name is one key's. */
export function successorOf(
  present: AuthorityRecord,
  name: string,
  {
    algorithm = present.algorithm,
    profile = present.profile,
    key,
    newName = present.role === 'chip-signer',
  }: {
    readonly algorithm?: AuthorityRecord['algorithm'] | undefined;
    readonly profile?: string | undefined;
    readonly key?: string | undefined;
    readonly newName?: boolean | undefined;
  } = {},
): AuthorityRecord {
  const { role, serves } = present;
  const called = newName
    ? serves && { line: lineOf(present) }
    : { sharesNameOf: present.sharesNameOf ?? present.name };
  return {
    name,
    role,
    algorithm,
    ...(profile === undefined ? {} : { profile }),
    ...(key === undefined ? {} : { key }),
    ...called,
    ...(serves === undefined ? {} : { serves }),
    state: 'announced',
  };
}

/** Behind the present one: of several roots the first active one certifies. */
export function withSuccessor(
  records: readonly AuthorityRecord[],
  present: AuthorityRecord,
  next: AuthorityRecord,
): readonly AuthorityRecord[] {
  return records.flatMap((record) => (record.name === present.name ? [record, next] : [record]));
}

/** The next free name of a line: operational-2, operational-3, ...; for a signer of chips the next number. */
export function nextName(records: readonly AuthorityRecord[], line: string): string {
  const taken = new Set(records.map(({ name }) => name));
  const isSigner = records.some((one) => lineOf(one) === line && one.role === 'chip-signer');
  const named = (number: number): string =>
    isSigner ? `chip-signer-${number.toString(16).padStart(4, '0')}` : `${line}-${number}`;
  let number = 2;
  while (taken.has(named(number))) number += 1;
  return named(number);
}

const bookFile = 'authorities.json';

function recordOf(entry: unknown): AuthorityRecord {
  const member = (name: string): unknown =>
    typeof entry === 'object' && entry !== null ? Reflect.get(entry, name) : undefined;
  const one = <Word extends string>(name: string, words: readonly Word[]): Word =>
    words.find((word) => word === member(name)) ?? fail(name);
  const optionalText = <Name extends string>(text: Name): { readonly [key in Name]?: string } => {
    const none: { readonly [key in Name]?: string } = {};
    const value = member(text);
    if (value === undefined) return none;
    return typeof value === 'string' ? { ...none, [text]: value } : fail(text);
  };
  const name = member('name');
  if (typeof name !== 'string' || !/^[a-z][a-z0-9-]{0,39}$/.test(name)) fail('name');
  return {
    name,
    role: one('role', authorityRoles),
    algorithm: one('algorithm', authorityAlgorithms),
    ...optionalText('profile'),
    ...optionalText('key'),
    ...optionalText('sharesNameOf'),
    ...optionalText('line'),
    ...servesOf(member('serves')),
    state: one('state', authorityStates),
  };
}

function overlap(
  { role, serves: left, state }: AuthorityRecord,
  { role: otherRole, serves: right }: AuthorityRecord,
): boolean {
  if (role !== otherRole || state === 'removed') return false;
  if (left === undefined || right === undefined) return false;
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
