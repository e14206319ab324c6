/** What `birthmark application enrol` leaves for whoever calls the API or the broker. */
import { createPrivateKey, type KeyObject } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { readPassphrase } from '../passphrase.ts';
import { CommandFailure, exitCodes } from './terminal.ts';

export const applicationFiles = {
  key: 'key.pem',
  /** With its chain. */
  certificate: 'certificate.pem',
  /** The authority of servers, which is what to pin. */
  anchors: 'server.pem',
  roots: 'root.pem',
} as const;

export async function openApplicationKey(file: string): Promise<KeyObject> {
  const pem = readFileSync(file, 'utf8');
  const encrypted = pem.includes('ENCRYPTED PRIVATE KEY');
  const passphrase = encrypted ? await readPassphrase({ prompt: 'Passphrase of the key' }) : '';
  try {
    return createPrivateKey({ key: pem, ...(encrypted ? { passphrase } : {}) });
  } catch {
    throw new CommandFailure(`${file} does not open: is the passphrase right?`, exitCodes.usage);
  }
}
