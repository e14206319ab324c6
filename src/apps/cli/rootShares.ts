/** What opens a root at the command line: a passphrase, or so many share files; and how shares are made. */
import { existsSync } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { Command } from 'commander';
import { nodeCrypto } from '../../drivers/keys/software/nodeCrypto.ts';
import { toHex } from '../../wire/bytes/hex.ts';
import { parseCertificate } from '../../wire/x509/certificate.ts';
import { pathsIn, readCertificateFile, writeWhole } from '../authority/authorityFolder.ts';
import { faultOfPlan, newSharedSecret, openShares, writeShares } from '../authority/shares.ts';
import { readPassphrase } from '../passphrase.ts';
import { CommandFailure, exitCodes } from './terminal.ts';

export interface SharesOptions {
  readonly shares?: number;
  readonly threshold?: number;
  readonly sharesTo?: string;
  readonly sharePassphrases?: boolean;
  /** Of the root, when it is in a token. */
  readonly key?: string;
}

export interface SharesToMake {
  readonly secret: string;
  /** Files of the shares, which were read back. */
  readonly write: (rootCertificate: Uint8Array) => Promise<readonly string[]>;
}

export function shareOptions(command: Command): Command {
  return command
    .option('--shares <n>', 'no passphrase, but so many share files', Number)
    .option('--threshold <k>', 'of which so many open the root', Number)
    .option('--shares-to <folder>', 'where they are written, one for each holder to take away')
    .option('--share-passphrases', 'ask for a passphrase of each share');
}

/** `undefined` where a passphrase was meant. Rejects with a `CommandFailure` where the folder has a key. */
export async function sharesFor(
  options: SharesOptions,
  rootFolder: string,
): Promise<SharesToMake | undefined> {
  const { shares, threshold, sharesTo, sharePassphrases, key } = options;
  if (shares === undefined && threshold === undefined && sharesTo === undefined) return undefined;
  if (shares === undefined || threshold === undefined || sharesTo === undefined) {
    throw new CommandFailure('--shares, --threshold and --shares-to go together', exitCodes.usage);
  }
  if (key !== undefined) {
    throw new CommandFailure('a token has a quorum of its own, or none', exitCodes.usage);
  }
  const fault = faultOfPlan({ shares, threshold });
  if (fault !== undefined) throw new CommandFailure(fault, exitCodes.usage);
  if (existsSync(pathsIn(rootFolder).keys)) {
    throw new CommandFailure(`${rootFolder} has a key already: shares are made with it`);
  }
  const secret = newSharedSecret();
  const write = async (rootCertificate: Uint8Array): Promise<readonly string[]> => {
    const { spki } = parseCertificate(rootCertificate).publicKey;
    const key = keyHash(spki);
    const passphraseOf = (index: number): Promise<string> =>
      readPassphrase({ prompt: `Passphrase of share ${index}`, confirm: true });
    const asked = sharePassphrases === true ? { passphraseOf } : {};
    const texts = await writeShares(secret, { shares, threshold, key, ...asked });
    await mkdir(sharesTo, { recursive: true, mode: 0o700 });
    const files: string[] = [];
    for (const [index, text] of texts.entries()) {
      const file = join(sharesTo, `share-${index + 1}.json`);
      await writeWhole(file, text);
      files.push(file);
    }
    return files;
  };
  return { secret, write };
}

/** What opens the root: the secret that the share files make, else its passphrase. */
export async function rootSecret({
  root,
  share,
}: {
  readonly root: string;
  readonly share?: readonly string[];
}): Promise<string> {
  if (share === undefined) return readPassphrase({ prompt: 'Passphrase of the root' });
  const texts = await Promise.all(
    share.map(async (file) => ({ name: basename(file), text: await readFile(file, 'utf8') })),
  );
  const { secret, key } = await openShares(texts, (index) =>
    readPassphrase({ prompt: `Passphrase of share ${index}` }),
  );
  const certificate = parseCertificate(await readCertificateFile(pathsIn(root), 'root'));
  if (keyHash(certificate.publicKey.spki) !== key) {
    throw new CommandFailure(`these are shares of another root than that in ${root}`);
  }
  return secret;
}

function keyHash(spki: Uint8Array): string {
  return toHex(nodeCrypto.hash('SHA-256', spki));
}
