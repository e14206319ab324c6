/** Holds the lockfile to what `npm ci` needs on every machine. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

interface Entry {
  readonly version?: string;
  readonly integrity?: string;
  readonly hasInstallScript?: boolean;
  readonly optional?: boolean;
  readonly dev?: boolean;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

const lock = JSON.parse(readFileSync(new URL('../package-lock.json', import.meta.url), 'utf8')) as {
  readonly packages: Readonly<Record<string, Entry>>;
};
const packages = Object.entries(lock.packages);

test('optional packages of every platform are listed', () => {
  // npm leaves out those that the machine of whoever updated it could not see, and refuses the result.
  const missing = packages.flatMap(([path, { optionalDependencies = {} }]) =>
    Object.keys(optionalDependencies).filter(
      (name) =>
        lock.packages[`node_modules/${name}`] === undefined &&
        lock.packages[`${path}/node_modules/${name}`] === undefined,
    ),
  );
  assert.deepEqual(missing, []);
});

test('what runs is pinned by its hash', () => {
  const unpinned = packages.filter(
    ([path, { integrity, dev }]) => path !== '' && dev !== true && integrity === undefined,
  );
  assert.deepEqual(unpinned, []);
  for (const platform of ['linux-x64', 'linux-arm64']) {
    assert.match(lock.packages[`node_modules/node-${platform}`]?.integrity ?? '', /^sha512-/);
  }
});

test('no package runs a script when it is installed', () => {
  const scripted = packages.filter(([, { hasInstallScript }]) => hasInstallScript === true);
  assert.deepEqual(scripted, []);
});
