/**
 * Before one authority takes over from another: how many devices know the one that comes. An authority that no
 * device knows cuts off all of them, so that a person has to mean it.
 */
import { join } from 'node:path';
import { nodeCrypto } from '../../drivers/keys/software/nodeCrypto.ts';
import { parseCertificate } from '../../wire/x509/certificate.ts';
import { authorityPaths, readCertificateFile } from '../authority/authorityFolder.ts';
import { isLinked } from '../authority/authorityNames.ts';
import { lineNamed, lineOf, readBook } from '../authority/book.ts';
import { countKnowing, type Knowing } from '../provisioner/told.ts';
import { readStoreSetting } from '../storeSetting.ts';
import { CommandFailure } from './terminal.ts';

export interface GuardOptions {
  readonly data: string;
  readonly force?: boolean;
}

/** For output: empty where devices are told of no authority of that role, or there is nothing to take over. */
export interface Guarded {
  readonly document: object;
  readonly lines: readonly string[];
}

/** `leaving`: the state of the one whose time is over when `coming` has taken its place. */
export async function requireKnown(
  { data, force = false }: GuardOptions,
  role: string,
  { leaving, coming }: typeof switching | typeof removing,
): Promise<Guarded> {
  const paths = authorityPaths(data);
  const book = await readBook(paths);
  const line = book.filter((one) => lineOf(one) === lineNamed(book, role));
  const next = line.find(({ state }) => state === coming);
  const isStep = line.some(({ state }) => state === leaving);
  // The step itself says what is missing.
  if (next === undefined || !isStep || !isLinked(next.role)) return { document: {}, lines: [] };
  const { publicKey } = parseCertificate(await readCertificateFile(paths, next.name));
  const key = nodeCrypto.hash('SHA-256', publicKey.spki);
  const knowing = await countKnowing(join(data, 'provisioner'), readStoreSetting(undefined), key);
  const said = sentence(next.name, knowing);
  if (knowing.told === 0 && knowing.devices > 0 && !force) {
    throw new CommandFailure(
      `${said} They learn of it from EST's cacerts while the server runs; --force goes on without them.`,
    );
  }
  return { document: { knownTo: knowing.told, devices: knowing.devices }, lines: [said] };
}

export const switching = { leaving: 'active', coming: 'announced' } as const;
export const removing = { leaving: 'retired', coming: 'active' } as const;

function sentence(name: string, { told, devices }: Knowing): string {
  return `${told} of ${devices} devices know ${name}.`;
}
