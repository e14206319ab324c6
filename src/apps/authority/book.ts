/**
 * Which authorities there are: `authorities.json`. For each its role, its algorithm, where its key is, and
 * whether it issues. Several of one role stand side by side while one takes over from another, and roots
 * of different algorithms for as long as anybody wants.
 */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { CertificateSignatureAlgorithm } from '../../trust/ports/keys.ts';
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
  return records;
}

export async function writeBook(
  { folder }: AuthorityPaths,
  records: readonly AuthorityRecord[],
): Promise<void> {
  await writeWhole(join(folder, bookFile), `${JSON.stringify(records, undefined, 2)}\n`);
}

/** The one that issues; of roots the first, which the others stand beside. */
export function active(records: readonly AuthorityRecord[], role: AuthorityName): AuthorityRecord {
  const [first, ...more] = records.filter((one) => one.role === role && one.state === 'active');
  if (first === undefined || (more.length > 0 && role !== 'root')) {
    return fail(`not one active authority of role ${role}`);
  }
  return first;
}

/** The next free name of a role: operational-2, operational-3, ... */
export function nextName(records: readonly AuthorityRecord[], role: AuthorityName): string {
  const taken = new Set(records.map(({ name }) => name));
  let number = 2;
  while (taken.has(`${role}-${number}`)) number += 1;
  return `${role}-${number}`;
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
    state: one('state', authorityStates),
  };
}

function fail(problem: string): never {
  throw new MalformedError(bookFile, 0, problem);
}
