/** Tokens at the API's door: they read, they end, and they act nowhere. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { request as httpsRequest } from 'node:https';
import { join } from 'node:path';
import { test } from 'node:test';
import { TokenClient } from '../../src/drivers/links/local/tokenClient.ts';
import { isRefusal } from '../../src/trust/ports/faults.ts';
import { pki } from '../support/peers.ts';
import { testNowMs } from '../support/pki.ts';
import { testProvisioner } from '../support/provisioner.ts';
import { deviceIdOf } from '../support/registrySamples.ts';

interface Asked {
  readonly path: string;
  readonly method?: string;
  readonly authorization?: string;
}

function ask(port: number, asked: Asked): Promise<number> {
  const { path, method = 'GET', authorization } = asked;
  return new Promise((resolve, reject) => {
    const headers = authorization === undefined ? {} : { authorization };
    const options = { host: '127.0.0.1', port, path, method, headers, agent: false };
    httpsRequest({ ...options, ca: pki.root.pem }, (response) => {
      response.resume().on('end', () => resolve(response.statusCode ?? 0));
    })
      .on('error', reject)
      .end();
  });
}

test('a token reads until it ends, and changes nothing', async (context) => {
  let nowMs = testNowMs;
  const it = await testProvisioner(context, {
    devices: [1],
    config: { clock: { nowMs: () => nowMs } },
  });
  const desk = new TokenClient(it.config.socketPath);
  context.after(() => desk.close());
  const made = await desk.create('dashboard', 1_000);
  assert.ok(!isRefusal(made));
  const authorization = `Bearer ${made.token}`;
  const { api } = it.ports;
  const device = `/api/v1/devices/${deviceIdOf(1)}`;
  const get = (path: string, text?: string): Promise<number> =>
    ask(api, { path, ...(text === undefined ? {} : { authorization: text }) });

  assert.equal(await get(device, authorization), 200);
  assert.equal(await get(`${device}/telemetry`, authorization), 200);
  assert.equal(await get('/metrics', authorization), 200);
  for (const wrong of [undefined, 'Bearer', 'Bearer bmr_0', `Basic ${made.token}`, 'Bearer a b']) {
    assert.equal(await get(device, wrong), 401, String(wrong));
  }
  for (const method of ['POST', 'PUT', 'DELETE', 'PATCH']) {
    assert.equal(await ask(api, { path: `${device}/revoke`, method, authorization }), 403, method);
  }
  assert.equal(await get('/nowhere', authorization), 404);
  assert.equal(await get('/nowhere'), 401);

  const other = await desk.create('scraper', 1_000_000);
  assert.ok(!isRefusal(other));
  nowMs += 1_000;
  assert.equal(await get(device, authorization), 401, 'expired');
  assert.equal(await get(device, `bearer ${other.token}`), 200);
  assert.equal(await desk.revoke(other.id), undefined);
  assert.equal(await get(device, `Bearer ${other.token}`), 401, 'revoked');
  assert.ok(isRefusal(await desk.revoke(other.id)));
  const listed = await desk.tokens(9);
  assert.ok(!isRefusal(listed));
  assert.ok(!JSON.stringify(listed).includes(made.token));
  // Whoever tried is in the security log, which is whole when the server has ended; the token is not.
  await it.close();
  const refusals = readFileSync(join(it.config.folder, 'security/refusals.jsonl'), 'utf8');
  for (const code of ['no-credential', 'bad-token', 'token-only-reads']) {
    assert.ok(refusals.includes(`"code":"${code}"`), code);
  }
  assert.ok(!refusals.includes(made.token));
});
