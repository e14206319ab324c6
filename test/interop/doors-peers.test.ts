/** The provisioner's doors with peers that are not ours: mosquitto, openssl s_client and curl. */
import assert from 'node:assert/strict';
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { promisify } from 'node:util';
import { pki } from '../support/peers.ts';
import { forged, type TestIdentity } from '../support/pki.ts';
import { testProvisioner, type TestProvisioner } from '../support/provisioner.ts';
import { deviceIdOf } from '../support/registrySamples.ts';

const run = promisify(execFile);

async function missing(command: string, debianPackage: string): Promise<string | undefined> {
  try {
    await run(command, ['--help']);
    return undefined;
  } catch (error) {
    const absent = error instanceof Error && 'code' in error && error.code === 'ENOENT';
    return absent ? `needs ${command} (Debian package ${debianPackage})` : undefined;
  }
}

const noMosquitto =
  (await missing('mosquitto_pub', 'mosquitto-clients')) ??
  (await missing('mosquitto_sub', 'mosquitto-clients')) ??
  false;
const noOpenssl = (await missing('openssl', 'openssl')) ?? false;
const noCurl = (await missing('curl', 'curl')) ?? false;

const one = deviceIdOf(1);
const two = deviceIdOf(2);
const identities = {
  device: pki.ldevid(one),
  other: pki.ldevid(two),
  app: pki.application('dashboard'),
  station: pki.station('line 1'),
};

interface House extends TestProvisioner {
  /** Paths of key and chain of an identity. */
  files(identity: TestIdentity): { readonly key: string; readonly cert: string };
  readonly root: string;
  mosquitto(
    program: 'pub' | 'sub',
    identity: TestIdentity,
    ...words: readonly string[]
  ): { readonly child: ChildProcess; readonly output: Promise<Output> };
}

interface Output {
  readonly code: number | null;
  readonly text: string;
}

async function open(context: TestContext): Promise<House> {
  const { device, other, app, station } = identities;
  const it = await testProvisioner(context, {
    devices: [1, 2],
    entries: [
      { identity: device, kind: 'ldevid', holder: one },
      { identity: other, kind: 'ldevid', holder: two },
      { identity: app, kind: 'application', holder: 'dashboard' },
      { identity: station, kind: 'station', holder: 'line 1' },
    ],
  });
  const folder = mkdtempSync(join(tmpdir(), 'birthmark-peers-'));
  context.after(() => rmSync(folder, { recursive: true }));
  const file = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  };
  let count = 0;
  const files: House['files'] = (identity) => {
    count += 1;
    return {
      key: file(`${count}.key`, identity.privateKeyPem),
      cert: file(`${count}.pem`, identity.chainPem),
    };
  };
  const root = file('root.pem', pki.root.pem);
  const mosquitto: House['mosquitto'] = (program, identity, ...words) => {
    const { key, cert } = files(identity);
    const tls = ['--cafile', root, '--cert', cert, '--key', key];
    const address = ['-h', 'localhost', '-p', String(it.ports.mqtt)];
    // Line by line, or what it prints would come when it ends.
    const line = ['-oL', `mosquitto_${program}`, ...address, ...tls, ...words];
    const child = spawn('stdbuf', line);
    context.after(() => child.kill());
    return { child, output: outputOf(child) };
  };
  return { ...it, files, root, mosquitto };
}

async function outputOf(child: ChildProcess): Promise<Output> {
  let text = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (part: string) => (text += part));
  }
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, text };
}

/** Resolves when the program has printed this. */
function printed(child: ChildProcess, words: string): Promise<void> {
  return new Promise((resolve) => {
    let text = '';
    const look = (part: Buffer): void => {
      text += part.toString();
      if (text.includes(words)) resolve();
    };
    child.stdout?.on('data', look);
    child.stderr?.on('data', look);
  });
}

test(
  'mosquitto: telemetry from a device to an application',
  { skip: noMosquitto },
  async (context) => {
    const it = await open(context);
    const words = ['-t', 'devices/+/telemetry', '-q', '1', '-C', '1', '-F', '%t %p', '-d'];
    const subscriber = it.mosquitto('sub', identities.app, ...words);
    await printed(subscriber.child, 'Subscribed');
    const message = ['-t', `devices/${one}/telemetry`, '-m', '21.5', '-q', '1'];
    const { code } = await it.mosquitto('pub', identities.device, ...message).output;
    assert.equal(code, 0);
    assert.match((await subscriber.output).text, new RegExp(`devices/${one}/telemetry 21\\.5`));
  },
);

test(
  'mosquitto: a command from an application to a device',
  { skip: noMosquitto },
  async (context) => {
    const it = await open(context);
    const words = ['-t', `devices/${one}/commands`, '-q', '1', '-C', '1', '-d'];
    const subscriber = it.mosquitto('sub', identities.device, ...words);
    await printed(subscriber.child, 'Subscribed');
    const command = ['-t', `devices/${one}/commands`, '-m', 'on', '-q', '1'];
    assert.equal((await it.mosquitto('pub', identities.app, ...command).output).code, 0);
    assert.match((await subscriber.output).text, /\bon\b/);
  },
);

test('mosquitto: foreign topics and wills are refused', { skip: noMosquitto }, async (context) => {
  const it = await open(context);
  const foreign = ['-t', `devices/${two}/telemetry`, '-m', 'x', '-q', '1'];
  const { code } = await it.mosquitto('pub', identities.device, ...foreign).output;
  assert.notEqual(code, 0);
  const filter = ['-t', `devices/${two}/commands`, '-q', '1', '-d', '-W', '5'];
  assert.match(
    (await it.mosquitto('sub', identities.device, ...filter).output).text,
    /rejected|128/i,
  );
  const will = ['--will-topic', `devices/${two}/telemetry`, '--will-payload', 'x'];
  const own = ['-t', `devices/${one}/telemetry`, '-m', 'x', '-q', '1'];
  const refused = await it.mosquitto('pub', identities.device, ...own, ...will).output;
  assert.match(refused.text, /not authori[sz]ed/i);
});

test(
  'mosquitto: forged and foreign certificates get no CONNACK 0',
  { skip: noMosquitto },
  async (context) => {
    const it = await open(context);
    const own = ['-t', `devices/${one}/telemetry`, '-m', 'x', '-q', '1', '-d'];
    for (const identity of [forged(identities.device), identities.station, pki.ldevid(one)]) {
      const { code, text } = await it.mosquitto('pub', identity, ...own).output;
      assert.notEqual(code, 0);
      assert.doesNotMatch(text, /CONNACK \(0\)/);
    }
  },
);

test(
  'mosquitto: a revoked device is cut off and does not come back',
  { skip: noMosquitto },
  async (context) => {
    const it = await open(context);
    const words = ['-t', `devices/${one}/commands`, '-d'];
    const subscriber = it.mosquitto('sub', identities.device, ...words);
    await printed(subscriber.child, 'Subscribed');
    const revoked = await it.request('api', identities.app, {
      method: 'POST',
      path: `/api/v1/devices/${one}/revoke`,
      type: 'application/json',
      body: '{"reason":"lost"}',
    });
    const report = JSON.parse(revoked.body.toString()) as { ended: Record<string, number> };
    assert.deepEqual(report.ended, { tls: 1, mqtt: 1, session: 0 });
    const own = ['-t', `devices/${one}/telemetry`, '-m', 'x', '-q', '1', '-d'];
    const again = await it.mosquitto('pub', identities.device, ...own).output;
    assert.notEqual(again.code, 0);
    assert.doesNotMatch(again.text, /CONNACK \(0\)/);
  },
);

test(
  'openssl: TLS 1.3 alone, and the certificate asked for',
  { skip: noOpenssl },
  async (context) => {
    const it = await open(context);
    const { key, cert } = it.files(identities.app);
    const address = ['s_client', '-connect', `localhost:${it.ports.api}`, '-CAfile', it.root];
    const dial = (...words: readonly string[]): Promise<Output> => {
      const child = spawn('openssl', [...address, '-verify_hostname', 'localhost', ...words]);
      child.stdin.end('Q\n');
      return outputOf(child);
    };
    const shown = await dial('-cert', cert, '-key', key);
    assert.match(shown.text, /New, TLSv1\.3, Cipher is TLS_/);
    assert.match(shown.text, /Verification: OK/);
    assert.match(shown.text, /Acceptable client certificate CA names\n.*CN ?= ?Test Server/);
    assert.match((await dial('-tls1_2')).text, /alert protocol version|no protocols available/);
  },
);

test(
  'openssl: a revoked device does not resume its session',
  { skip: noOpenssl },
  async (context) => {
    const it = await open(context);
    const { key, cert } = it.files(identities.device);
    const ticket = `${key}.session`;
    const common = ['-connect', `localhost:${it.ports.device}`, '-CAfile', it.root];
    const dial = async (more: readonly string[], request: string): Promise<Output> => {
      const words = ['s_client', ...common, '-cert', cert, '-key', key, '-ign_eof', ...more];
      const child = spawn('openssl', words);
      context.after(() => child.kill());
      child.stdin.write(request);
      return outputOf(child);
    };
    const ask = 'GET /v1/configuration HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n';
    assert.match((await dial(['-sess_out', ticket], ask)).text, /HTTP\/1\.1 200/);
    const resumed = await dial(['-sess_in', ticket], ask);
    assert.match(resumed.text, /Reused, TLSv1\.3/);
    assert.match(resumed.text, /HTTP\/1\.1 200/);
    await it.request('api', identities.app, {
      method: 'POST',
      path: `/api/v1/devices/${one}/revoke`,
      type: 'application/json',
      body: '{"reason":"lost"}',
    });
    const refused = await dial(['-sess_in', ticket], ask);
    assert.doesNotMatch(refused.text, /Reused, TLSv1\.3|HTTP\/1\.1/);
  },
);

test('curl: the API of applications', { skip: noCurl }, async (context) => {
  const it = await open(context);
  const { key, cert } = it.files(identities.app);
  const base = `https://localhost:${it.ports.api}`;
  // curl takes an authority that is no root for an anchor, so that it can pin the one of servers.
  const pinned = `${key}.server.pem`;
  writeFileSync(pinned, pki.server.pem);
  const tls = ['--silent', '--show-error', '--cacert', pinned, '--cert', cert, '--key', key];
  const { stdout } = await run('curl', [...tls, `${base}/api/v1/devices?limit=1`]);
  assert.equal((JSON.parse(stdout) as { devices: unknown[] }).devices.length, 1);
  const json = ['--header', 'Content-Type: application/json', '--data', '{"reason":"lost"}'];
  const revoked = await run('curl', [...tls, ...json, `${base}/api/v1/devices/${one}/revoke`]);
  assert.ok((JSON.parse(revoked.stdout) as { killMs: number }).killMs >= 0);
  const { stdout: metrics } = await run('curl', [...tls, `${base}/metrics`]);
  assert.match(metrics, /birthmark_revocation_seconds_count 1/);
  const stranger = it.files(identities.station);
  await assert.rejects(
    run('curl', ['--cacert', pinned, '--cert', stranger.cert, '--key', stranger.key, base]),
  );
});
