/** The published manifest with what it needs to be believed, and entries like it under keys of our own. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const folder = join(import.meta.dirname, '../vectors/microchip-manifest');

export const publishedManifest: Uint8Array = readFileSync(join(folder, 'manifest.json'));
export const publishedLogSigner: Uint8Array = certificate('log-signer.pem');
export const publishedRoot: Uint8Array = certificate('root-ca-002.pem');

function certificate(file: string): Uint8Array {
  const text = readFileSync(join(folder, file), 'utf8').replaceAll(/-----.*-----|\s/g, '');
  return new Uint8Array(Buffer.from(text, 'base64'));
}

/** JSON text of the payload of the one entry. */
export const publishedPayload: Uint8Array = payload();

function payload(): Uint8Array {
  const file: unknown = JSON.parse(new TextDecoder().decode(publishedManifest));
  const [entry] = file as [{ payload: string }];
  return new Uint8Array(Buffer.from(entry.payload, 'base64url'));
}
