/** Where the local sockets of a data folder are. */
import { createHash } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

/** Linux and macOS cut socket addresses at 108 and 104 bytes, without an error in some versions of Node. */
const maximumBytes = 100;

/**
 * `name` is `authority` or `provisioner`. A folder whose path is too long gets its sockets in a folder
 * of the system's temporary folder that only this user may enter, named by the data folder's hash.
 */
export function socketPathFor(dataFolder: string, name: string): string {
  const folder = resolve(dataFolder, name);
  const direct = join(folder, `${name}.sock`);
  if (Buffer.byteLength(direct) <= maximumBytes) return direct;
  const hash = createHash('sha256').update(folder).digest('hex').slice(0, 20);
  const fallback = join(tmpdir(), `birthmark-${hash}`);
  mkdirSync(fallback, { recursive: true, mode: 0o700 });
  return join(fallback, `${name}.sock`);
}
