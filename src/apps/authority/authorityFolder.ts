/**
 * The authority's folder: which files there are and what they mean.
 *
 *     authority.json   organization and address block, written once
 *     authorities.json which authorities there are, where their keys are, and which of them issue
 *     keys/NAME.key    encrypted keys
 *     NAME.pem         certificates
 *     requests/NAME.csr  what waits for, or was certified by, a root on another machine
 *     issuing.sqlite   everything that was ordered, issued, revoked and logged
 *     store-mark       instead of it: which database on a server has that (storePlace.ts)
 *     documents/       manifests and yield reports
 *     security/        what was refused, for whoever looks for attacks and mistakes
 *     log/             the audit log as files: tiles, checkpoint, verifier key, what witnesses signed
 */
import { open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { EnvironmentError } from '../../trust/ports/faults.ts';
import { parseHex, toHex } from '../../wire/bytes/hex.ts';
import { MalformedError } from '../../wire/bytes/malformed.ts';
import { encodePem, parsePem } from '../../wire/x509/pem.ts';

/** Authorities that every installation has, each a key and a certificate of this name. */
export const authorityNames = ['root', 'factory', 'operational', 'server'] as const;

export type AuthorityName = (typeof authorityNames)[number];

/** And what a person may add: signers of chips, and the product attestation authorities of Matter. */
export const authorityRoles = [
  'root',
  'factory',
  'operational',
  'server',
  'chip-signer',
  'matter-paa',
  'matter-pai',
] as const;

export type AuthorityRole = (typeof authorityRoles)[number];

/** Keys that are no authority's. */
export const otherKeys = {
  order: 'order',
  manifest: 'manifest',
  sealing: 'sealing',
  /** P-256: signs fresh words about credentials of session servers. */
  status: 'status',
  /** Ed25519: signs the checkpoints of the audit log. */
  log: 'log',
} as const;

export interface Installation {
  readonly organization: string;
  /** Where the first order's range of EUI-64s begins, 8 bytes. */
  readonly eui64Base: Uint8Array;
}

export interface AuthorityPaths {
  readonly folder: string;
  readonly keys: string;
  readonly database: string;
  readonly documents: string;
  readonly log: string;
  readonly security: string;
}

export function authorityPaths(dataFolder: string): AuthorityPaths {
  return pathsIn(resolve(dataFolder, 'authority'));
}

/** Of a folder that is an authority's itself: that of a root on a machine of its own. */
export function pathsIn(folder: string): AuthorityPaths {
  return {
    folder,
    keys: join(folder, 'keys'),
    database: join(folder, 'issuing.sqlite'),
    documents: join(folder, 'documents'),
    log: join(folder, 'log'),
    security: join(folder, 'security'),
  };
}

/** `undefined` where no authority was made yet. */
export function readInstallation(paths: AuthorityPaths): Promise<Installation | undefined> {
  return readInstallationFile(join(paths.folder, installationFile));
}

/** One that waits for certificates of a root on another machine. */
export function readBegunInstallation(paths: AuthorityPaths): Promise<Installation | undefined> {
  return readInstallationFile(join(paths.folder, begunFile));
}

async function readInstallationFile(path: string): Promise<Installation | undefined> {
  const text = await readIfThere(path);
  if (text === undefined) return undefined;
  const parsed: unknown = JSON.parse(text);
  const member = (name: string): string => {
    const value: unknown =
      typeof parsed === 'object' && parsed !== null ? Reflect.get(parsed, name) : undefined;
    if (typeof value === 'string') return value;
    throw new MalformedError(installationFile, 0, `${name} is no text`);
  };
  const eui64Base = parseHex(member('eui64Base'));
  if (eui64Base?.length !== 8) throw new MalformedError(installationFile, 0, 'eui64Base');
  return { organization: member('organization'), eui64Base };
}

/** Rejects with an `EnvironmentError` that tells how to make one. */
export async function requireInstallation(paths: AuthorityPaths): Promise<Installation> {
  const installation = await readInstallation(paths);
  if (installation !== undefined) return installation;
  if ((await readBegunInstallation(paths)) !== undefined) {
    throw new EnvironmentError(
      `${paths.folder} waits for certificates of its root: see birthmark ca import`,
      { retryable: false },
    );
  }
  throw new EnvironmentError(`${paths.folder} holds no authority: see birthmark ca init`, {
    retryable: false,
  });
}

export async function writeInstallation(
  paths: AuthorityPaths,
  { organization, eui64Base }: Installation,
  state: 'begun' | 'complete' = 'complete',
): Promise<void> {
  const document = { organization, eui64Base: toHex(eui64Base) };
  const file = state === 'begun' ? begunFile : installationFile;
  await writeWhole(join(paths.folder, file), `${JSON.stringify(document, undefined, 2)}\n`);
  if (state === 'complete') await rm(join(paths.folder, begunFile), { force: true });
}

/** DER. Rejects with an `EnvironmentError` when it is not there. */
export async function readCertificateFile(
  paths: AuthorityPaths,
  name: string,
): Promise<Uint8Array> {
  const path = certificatePath(paths, name);
  const text = await readIfThere(path);
  if (text === undefined) {
    throw new EnvironmentError(`${path} is missing: finish birthmark ca init`, {
      retryable: false,
    });
  }
  return parsePem(text, 'CERTIFICATE');
}

/** DER of every certificate `NAME.under-ISSUER.pem` between two of these authorities. */
export async function readLinks(
  { folder }: AuthorityPaths,
  names: ReadonlySet<string>,
): Promise<readonly Uint8Array[]> {
  const links = (await readdir(folder)).filter((file) => {
    const [, name = '', issuer = ''] = /^([a-z0-9-]+)\.under-([a-z0-9-]+)\.pem$/.exec(file) ?? [];
    return names.has(name) && names.has(issuer);
  });
  return Promise.all(
    links.toSorted().map(async (file) => {
      return parsePem(await readFile(join(folder, file), 'utf8'), 'CERTIFICATE');
    }),
  );
}

export async function writeCertificateFile(
  paths: AuthorityPaths,
  name: string,
  certificate: Uint8Array,
): Promise<void> {
  await writeWhole(certificatePath(paths, name), encodePem('CERTIFICATE', certificate));
}

export function certificatePath({ folder }: AuthorityPaths, name: string): string {
  return join(folder, `${name}.pem`);
}

const installationFile = 'authority.json';
const begunFile = 'authority-begun.json';

/** `undefined` where there is no such file. */
export async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

/** The file is there whole or not at all. */
export async function writeWhole(path: string, text: string): Promise<void> {
  const file = await open(`${path}.tmp`, 'w', 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(`${path}.tmp`, path);
}
