/** Commands of others that ask for the status of certificates, and where certificates tell them to look. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { parseCertificate } from '../../src/wire/x509/certificate.ts';
import {
  decodeAuthorityInfoAccess,
  decodeCRLDistributionPoints,
  extensionOids,
  findExtension,
} from '../../src/wire/x509/extensions.ts';
import type { GeneralName } from '../../src/wire/x509/generalNames.ts';

/** Not blocking: the door that is asked lives in this process. */
export function run(command: string, ...words: readonly string[]): Promise<string> {
  return new Promise((resolve) => {
    const child = execFile(
      command,
      words.flatMap((word) => word.split(' ')),
      { timeout: 20_000 },
      (_error, stdout, stderr) => resolve(stdout + stderr),
    );
    // A client that would wait for somebody to type.
    child.stdin?.end();
  });
}

export function urisOf(names: readonly GeneralName[]): string[] {
  return names.map((name) => ('text' in name ? name.text : ''));
}

/** What the certificate itself says about where to look. */
export function placesOf(
  leaf: Uint8Array,
): readonly [list: string, responder: string, issuer: string] {
  const { extensions } = parseCertificate(leaf);
  const points = findExtension(extensions, extensionOids.cRLDistributionPoints);
  const access = findExtension(extensions, extensionOids.authorityInfoAccess);
  assert.ok(points && access);
  const [list = ''] = urisOf(decodeCRLDistributionPoints(points.value));
  const [responder = '', issuer = ''] = urisOf(
    decodeAuthorityInfoAccess(access.value).map(({ location }) => location),
  );
  return [list, responder, issuer];
}
