/**
 * Shares of the secret that opens the key files of a root: n files for n people, any k of which open it,
 * fewer of which say nothing about it (Shamir 1979). The arithmetic is that of shamir-secret-sharing; what
 * is here says which files belong together, and refuses those that do not before anything is tried.
 */
import { createHash, randomBytes } from 'node:crypto';
import { combine, split } from 'shamir-secret-sharing';
import {
  defaultCost,
  encodeKeyFile,
  parseKeyFile,
  WrappingKey,
} from '../../drivers/keys/software/keyFile.ts';
import { EnvironmentError, InvariantError } from '../../trust/ports/faults.ts';
import { parseBase64, toBase64 } from '../../wire/bytes/base64.ts';
import { equal } from '../../wire/bytes/bytes.ts';
import { toHex } from '../../wire/bytes/hex.ts';
import { MalformedError } from '../../wire/bytes/malformed.ts';

export interface SharePlan {
  readonly shares: number;
  /** So many of them open the root. */
  readonly threshold: number;
  /** SHA-256 of the root's public key, hexadecimal. */
  readonly key: string;
  /** Of one share's holder; absent for shares that are protected by where they are kept alone. */
  readonly passphraseOf?: (index: number) => Promise<string>;
  /** For tests: a cost that protects nothing. */
  readonly costLog2?: number;
}

/** As a person has it in hand. */
export interface ShareText {
  /** For messages: the name of its file. */
  readonly name: string;
  readonly text: string;
}

export interface OpenedShares {
  readonly secret: string;
  /** SHA-256 of the public key of the root that it opens, hexadecimal. */
  readonly key: string;
}

export const maximumShares = 16;

/** What opens the key files in place of a passphrase: 256 random bits. */
export function newSharedSecret(): string {
  return randomBytes(secretBytes).toString('base64url');
}

/** In words; `undefined` when so many shares can be made. */
export function faultOfPlan({
  shares,
  threshold,
}: Pick<SharePlan, 'shares' | 'threshold'>): string | undefined {
  if (!Number.isInteger(shares) || shares < 2 || shares > maximumShares) {
    return `there are 2 to ${maximumShares} shares`;
  }
  return Number.isInteger(threshold) && threshold >= 2 && threshold <= shares
    ? undefined
    : 'a threshold is at least 2 and at most the number of shares';
}

/** Texts of the share files, the first one for index 1. */
export async function writeShares(secret: string, plan: SharePlan): Promise<readonly string[]> {
  const { shares: count, threshold, key } = plan;
  const fault = faultOfPlan(plan);
  if (fault !== undefined) throw new TypeError(fault);
  const bytes = new Uint8Array(Buffer.from(secret, 'base64url'));
  const set = toHex(randomBytes(8));
  const shares = await split(bytes, count, threshold);
  // The last ones put together before anybody relies on them.
  if (!equal(await combine(shares.slice(-threshold)), bytes)) {
    throw new InvariantError('the shares do not make the secret');
  }
  const texts: string[] = [];
  for (const [at, share] of shares.entries()) {
    const index = at + 1;
    const body = { format, key, set, check: checkOf(set, bytes), threshold, shares: count, index };
    const members = { ...body, ...(await shareMember(share, index, plan)) };
    const whole = { ...members, checksum: checksumOf(members) };
    texts.push(`${JSON.stringify(whole, undefined, 2)}\n`);
    share.fill(0);
  }
  bytes.fill(0);
  return texts;
}

/**
 * Rejects with an `EnvironmentError` that names the file: a damaged one, one of another set, one given
 * twice, too few, a wrong passphrase.
 */
export async function openShares(
  texts: readonly ShareText[],
  passphraseOf: (index: number) => Promise<string>,
): Promise<OpenedShares> {
  const files = texts.map(readShare);
  const [first] = files;
  if (first === undefined) throw refused('no share was given');
  const byIndex = new Map<number, Share>();
  for (const file of files) {
    if (file.set !== first.set || file.key !== first.key || file.threshold !== first.threshold) {
      throw refused(`${file.name} and ${first.name} are not shares of one secret`);
    }
    const twin = byIndex.get(file.index);
    if (twin !== undefined) {
      throw refused(`${file.name} and ${twin.name} are the same share, number ${file.index}`);
    }
    byIndex.set(file.index, file);
  }
  if (files.length < first.threshold) {
    throw refused(`${first.threshold} shares open the root: ${files.length} given`);
  }
  const opened: Uint8Array[] = [];
  for (const file of files) opened.push(await openShare(file, passphraseOf));
  // It throws at what no share can be: two of one coordinate, or of two lengths.
  const bytes = await combine(opened).catch(() => undefined);
  for (const share of opened) share.fill(0);
  // Whoever altered a share could mend its checksum.
  if (bytes === undefined || checkOf(first.set, bytes) !== first.check) {
    throw refused('these shares do not make the secret: one of them was altered');
  }
  const secret = Buffer.from(bytes).toString('base64url');
  bytes.fill(0);
  return { secret, key: first.key };
}

const format = 'birthmark-share-1';
const secretBytes = 32;

interface Share {
  readonly name: string;
  readonly key: string;
  readonly set: string;
  readonly check: string;
  readonly threshold: number;
  readonly index: number;
  readonly share: Uint8Array | undefined;
  /** A key file whose key is the share. */
  readonly encrypted: string | undefined;
}

async function shareMember(
  share: Uint8Array,
  index: number,
  { passphraseOf, costLog2 = defaultCost.costLog2 }: SharePlan,
): Promise<{ readonly share: string } | { readonly encrypted: string }> {
  if (passphraseOf === undefined) return { share: toBase64(share) };
  const salt = new Uint8Array(randomBytes(16));
  const parameters = { ...defaultCost, costLog2, salt };
  const wrapping = await WrappingKey.derive(await passphraseOf(index), parameters);
  const file = wrapping.encrypt(`share-${index}`, 'sealing', new Uint8Array(0), share);
  return { encrypted: encodeKeyFile(file) };
}

async function openShare(
  { name, index, share, encrypted }: Share,
  passphraseOf: (index: number) => Promise<string>,
): Promise<Uint8Array> {
  if (share !== undefined) return share;
  const file = parseKeyFile(encrypted ?? '');
  const wrapping = await WrappingKey.derive(await passphraseOf(index), file.parameters);
  try {
    return new Uint8Array(wrapping.decrypt(file));
  } catch (error) {
    if (error instanceof EnvironmentError) throw refused(`${name}: the passphrase is wrong`);
    throw error;
  }
}

/** Throws an `EnvironmentError`: these files are handled by people, years after they were made. */
function readShare({ name, text }: ShareText): Share {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    parsed = undefined;
  }
  const member = (at: string): unknown =>
    typeof parsed === 'object' && parsed !== null ? Reflect.get(parsed, at) : undefined;
  if (member('format') !== format) throw refused(`${name} is no share`);
  const members = Object.entries(parsed ?? {}).filter(([at]) => at !== 'checksum');
  if (member('checksum') !== checksumOf(Object.fromEntries(members))) {
    throw refused(`${name} is damaged`);
  }
  const word = (at: string): string => {
    const value = member(at);
    return typeof value === 'string' ? value : fail(name, at);
  };
  const number = (at: string): number => {
    const value = member(at);
    return typeof value === 'number' && Number.isInteger(value) ? value : fail(name, at);
  };
  const written = member('share');
  const share = typeof written === 'string' ? parseBase64(written) : undefined;
  const encrypted = member('encrypted');
  if (share === undefined && typeof encrypted !== 'string') fail(name, 'share');
  return {
    name,
    key: word('key'),
    set: word('set'),
    check: word('check'),
    threshold: number('threshold'),
    index: number('index'),
    share,
    encrypted: typeof encrypted === 'string' ? encrypted : undefined,
  };
}

/** Tells the right secret from a wrong one; of 256 random bits a hash gives nothing away. */
function checkOf(set: string, secret: Uint8Array): string {
  return createHash('sha256').update(format).update(set).update(secret).digest('hex');
}

/** Against decay and slips of copying; whoever forges a share forges this too. */
function checksumOf(members: object): string {
  return createHash('sha256').update(JSON.stringify(members)).digest('hex').slice(0, 32);
}

function fail(name: string, member: string): never {
  throw new MalformedError(name, 0, `member ${member} is missing or wrong`);
}

function refused(message: string): EnvironmentError {
  return new EnvironmentError(message, { retryable: false });
}
