/** `birthmark cert` and `birthmark manifest` as a person and a script run them. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { decompressPoint } from '../../../src/drivers/keys/software/points.ts';
import { fromHex } from '../../../src/wire/bytes/hex.ts';
import { c509FromX509 } from '../../../src/wire/c509/convert.ts';
import { encodeCoseC509 } from '../../../src/wire/c509/coseHeaders.ts';
import { socketPathFor } from '../../../src/apps/socketPath.ts';
import { openLocalDoor } from '../../../src/servers/local/localDoor.ts';
import {
  type ManifestOrder,
  type ProvisionerActs,
  provisionerRoutes,
} from '../../../src/servers/local/provisioner.ts';
import { refuse } from '../../../src/trust/ports/faults.ts';
import { publishedLogSigner } from '../../support/manifestVector.ts';
import { testPki } from '../../support/pki.ts';

const root = join(import.meta.dirname, '../../..');
const vector = join(root, 'test/vectors/microchip-manifest');
const folder = mkdtempSync(join(tmpdir(), 'birthmark-cert-'));
after(() => rmSync(folder, { recursive: true }));

interface Result {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function birthmark(...words: readonly string[]): Promise<Result> {
  return new Promise((resolve) => {
    const main = join(root, 'src/apps/cli/main.ts');
    const node = ['--disable-warning=ExperimentalWarning', main, ...words];
    execFile(process.execPath, node, (error, stdout, stderr) => {
      const code = error === null ? 0 : Number(error.code);
      resolve({ code, stdout, stderr });
    });
  });
}

function file(name: string, content: Uint8Array | string): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

const trust = [
  '--root',
  join(vector, 'root-ca-002.pem'),
  '--log-signer',
  join(vector, 'log-signer.pem'),
];

test('a certificate goes to C509 and back through files', async () => {
  const c509 = join(folder, 'signer.c509');
  const there = await birthmark('cert', 'convert', join(vector, 'log-signer.pem'), '--out', c509);
  assert.deepEqual([there.code, there.stderr], [0, '']);
  assert.match(there.stdout, /458 +224 +49 %/);
  const pem = join(folder, 'signer.pem');
  const back = await birthmark('cert', 'convert', c509, '--to', 'x509', '--out', pem, '--json');
  assert.equal(back.code, 0);
  const document = JSON.parse(back.stdout) as {
    certificates: [{ x509Bytes: number; result: string }];
  };
  assert.equal(document.certificates[0].x509Bytes, publishedLogSigner.length);
  assert.deepEqual(fromHex(document.certificates[0].result), publishedLogSigner);
  assert.equal(
    readFileSync(pem, 'utf8').split('\n').length,
    readFileSync(join(vector, 'log-signer.pem'), 'utf8').trim().split('\n').length + 1,
  );
});

test('every form of file is read', async () => {
  const { certificate } = testPki().idevid('0123456789abcdex');
  const encoded = c509FromX509(certificate.der, decompressPoint);
  const vectors = JSON.parse(
    readFileSync(join(root, 'test/vectors/c509/certificates.json'), 'utf8'),
  ) as Record<string, { readonly c509: string }>;
  const files = [
    file('a.der', certificate.der),
    file('a.hex', Buffer.from(certificate.der).toString('hex')),
    file('a.c509', encoded),
    file('a.sequence', encoded.subarray(1)),
    file('a.cose', encodeCoseC509([encoded, encoded])),
    file('native.c509', fromHex(vectors['rfc7925-native']?.c509 ?? '')),
  ];
  const shown = await Promise.all(files.map((path) => birthmark('cert', 'show', path, '--json')));
  for (const [index, { code, stdout, stderr }] of shown.entries()) {
    assert.deepEqual([code, stderr], [0, ''], files[index]);
    const { certificates } = JSON.parse(stdout) as { certificates: Array<Record<string, unknown>> };
    assert.equal(certificates.length, index === 4 ? 2 : 1);
    if (index < 5)
      assert.equal(certificates[0]?.['subject'], 'serialNumber=0123456789abcdex,O=Test Maker');
    else assert.match(String(certificates[0]?.['other']), /natively signed/);
  }
});

test('what is no certificate, and what cannot be converted, is said', async () => {
  const native = file(
    'n.c509',
    fromHex(
      (
        JSON.parse(
          readFileSync(join(root, 'test/vectors/c509/certificates.json'), 'utf8'),
        ) as Record<string, { c509: string }>
      )['rfc7925-native']?.c509 ?? '',
    ),
  );
  const [none, broken, refused, form] = await Promise.all([
    birthmark('cert', 'show', join(vector, 'SOURCE.md')),
    birthmark('cert', 'show', file('broken.der', publishedLogSigner.subarray(0, 100))),
    birthmark('cert', 'convert', native),
    birthmark('cert', 'convert', native, '--to', 'pdf'),
  ]);
  assert.deepEqual([none.code, broken.code, refused.code, form.code], [2, 2, 1, 2]);
  assert.match(none.stderr, /holds no certificate/);
  assert.match(broken.stderr, /^birthmark: der: .* at byte \d+/);
  assert.match(refused.stderr, /natively signed certificate is not supported/);
});

test('the published manifest is believed, a tampered copy names its fault', async () => {
  const published = join(vector, 'manifest.json');
  const text = readFileSync(published, 'utf8');
  const tampered = file('tampered.json', text.replace('7btSLIbS3Yoc6yM', '7btSLIbS3Yoc6yN'));
  const [good, dry, bad, unknown, nobody] = await Promise.all([
    birthmark('manifest', 'verify', published, ...trust, '--json'),
    birthmark('manifest', 'import', published, ...trust, '--dry-run'),
    birthmark('manifest', 'verify', tampered, ...trust, '--json'),
    birthmark(
      'manifest',
      'verify',
      published,
      '--root',
      join(vector, 'log-signer.pem'),
      ...trust.slice(2),
    ),
    birthmark('manifest', 'import', published, ...trust, '--data', folder),
  ]);
  assert.deepEqual(JSON.parse(good.stdout), {
    ok: true,
    file: published,
    elements: 1,
    models: { ATECC608A: 1 },
  });
  assert.deepEqual([good.code, dry.code, bad.code, unknown.code, nobody.code], [0, 0, 1, 1, 3]);
  assert.match(dry.stdout, /Nothing was imported/);
  const refusal = JSON.parse(bad.stdout) as Record<string, unknown>;
  assert.deepEqual(
    [refusal['ok'], refusal['refused'], refusal['entry']],
    [false, 'wrong-signature', 0],
  );
  assert.match(bad.stderr, /entry 0: the signature does not cover what the entry says/);
  assert.match(unknown.stderr, /no path to a pinned root/);
  assert.match(nobody.stderr, /provisioner cannot be reached/);
});

test('an import goes through the provisioner of the data folder', async () => {
  const orders: ManifestOrder[] = [];
  const acts = {
    clients: {},
    importManifest: (order: ManifestOrder) => {
      orders.push(order);
      return Promise.resolve(
        order.product === 'other'
          ? refuse('duplicate', 'entry 0: its uid belongs to another device')
          : { imported: 1, unchanged: 0 },
      );
    },
  } as unknown as ProvisionerActs;
  const door = await openLocalDoor({
    path: socketPathFor(folder, 'provisioner'),
    bodyBytes: 65_536,
    onRefusal: () => undefined,
    routes: (app) => provisionerRoutes(app, acts),
  });
  const manifest = join(vector, 'manifest.json');
  try {
    const words = ['manifest', 'import', manifest, ...trust, '--data', folder, '--product'];
    const done = await birthmark(...words, 'thermometer', '--json');
    assert.deepEqual([done.code, done.stderr], [0, '']);
    const { imported, elements } = JSON.parse(done.stdout) as Record<string, unknown>;
    assert.deepEqual([imported, elements], [1, 1]);
    assert.equal(orders[0]?.file, manifest);
    assert.equal(orders[0]?.format, 'microchip');
    assert.equal(orders[0]?.state, 'released');
    assert.deepEqual(orders[0]?.signers, [publishedLogSigner]);
    const known = await birthmark(...words, 'other', '--expected');
    assert.equal(known.code, 1);
    assert.match(known.stderr, /belongs to another device \[duplicate\]/);
    assert.equal(orders[1]?.state, 'expected');
  } finally {
    await door.close();
  }
});
