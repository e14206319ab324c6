/** An operator whose key is in a token: requests are signed there, and checked as all others. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { makeOperator, openOperator } from '../../src/apps/cli/operatorFolder.ts';
import { nodeCrypto } from '../../src/drivers/keys/software/nodeCrypto.ts';
import { SoftwareVerifier } from '../../src/drivers/keys/software/verifier.ts';
import {
  encodeDecision,
  isSigned,
  readDecision,
  readSigned,
  signDocument,
} from '../../src/trust/approvals/documents.ts';
import { run } from '../support/commands.ts';
import { networkHouse } from '../support/networkHouse.ts';
import { parseCertificationRequest } from '../../src/wire/x509/certificationRequest.ts';

const modulePath = '/usr/lib/softhsm/libsofthsm2.so';
const pin = '98765432';

function missingPeer(): string | false {
  try {
    createRequire(import.meta.url).resolve('pkcs11js');
  } catch {
    return 'needs the npm package pkcs11js';
  }
  return existsSync(modulePath) ? false : 'needs SoftHSM2 (Debian package softhsm2)';
}

/** A new token; `uri` names a key in it. */
function token(context: TestContext): {
  readonly data: string;
  readonly uri: (label: string) => string;
} {
  const data = mkdtempSync(join(tmpdir(), 'birthmark-operator-'));
  context.after(() => rmSync(data, { recursive: true, force: true }));
  mkdirSync(join(data, 'tokens'));
  writeFileSync(join(data, 'softhsm2.conf'), `directories.tokendir = ${join(data, 'tokens')}\n`);
  process.env['SOFTHSM2_CONF'] = join(data, 'softhsm2.conf');
  const words = ['--init-token', '--free', '--label', 'ada', '--so-pin', pin, '--pin', pin];
  assert.equal(spawnSync('softhsm2-util', words).status, 0);
  writeFileSync(join(data, 'pin'), `${pin}\n`, { mode: 0o600 });
  const place = `module-path=${modulePath}&pin-source=file:${join(data, 'pin')}`;
  return { data, uri: (label) => `pkcs11:token=ada;object=${label}?${place}` };
}

test('an operator signs with a token', { skip: missingPeer() }, async (context) => {
  const { data, uri } = token(context);
  const folder = join(data, 'ada');
  const request = await makeOperator(folder, 'ada', uri('approvals'));
  const { info, publicKey, signatureAlgorithm, signature } = parseCertificationRequest(request);
  const { spki } = publicKey;
  assert.ok(new SoftwareVerifier().verifyOnce(spki, signatureAlgorithm.oid, info, signature));
  assert.ok(!existsSync(join(folder, 'keys')));

  const operator = await openOperator(folder);
  context.after(() => operator.close());
  const document = encodeDecision({
    installation: new Uint8Array(16),
    request: new Uint8Array(32),
    decision: 'approved',
    by: operator.name,
    atMs: 1,
  });
  const signed = await signDocument(operator.signer, document);
  assert.ok(isSigned(nodeCrypto, spki, readSigned(nodeCrypto, signed, readDecision).message));

  // Asked to sign, nobody makes a key that is not there.
  const other = join(data, 'eve');
  mkdirSync(other);
  writeFileSync(join(other, 'operator.json'), JSON.stringify({ name: 'eve', key: uri('none') }));
  await assert.rejects(openOperator(other), /holds no P-256 key none/);
});

test('an operator calls from elsewhere with a token', { skip: missingPeer() }, async (context) => {
  const { uri } = token(context);
  const it = await networkHouse(context, ['ada', 'bob'], (folder, name) =>
    makeOperator(folder, name, uri(name)),
  );
  const order = ['order', 'create', 'reel-7', '--product', 'sensor', '--quantity', '5'];
  const asked = await run(...order, ...it.as('ada'));
  assert.equal(asked.code, 4, asked.said);
  const id = String(asked.document['approval']);
  const approved = await run('approval', 'approve', id, ...it.as('bob'));
  assert.equal(approved.document['state'], 'approved', approved.said);
  const done = await run(...order, '--approval', id, ...it.as('ada'));
  assert.deepEqual([done.code, done.document['order']], [0, 'reel-7'], done.said);
});
