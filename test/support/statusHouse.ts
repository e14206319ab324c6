/** Authority and provisioner as they run, with the door for the status of certificates, on this machine. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { get as httpGet, type IncomingHttpHeaders, request as httpRequest } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type RunningAuthority, startAuthority } from '../../src/apps/authority/authority.ts';
import { initializeAuthority } from '../../src/apps/authority/initialize.ts';
import type { StatusPlan } from '../../src/apps/authority/statusPlan.ts';
import { type Provisioner, startProvisioner } from '../../src/apps/provisioner/provisioner.ts';
import { socketPathFor } from '../../src/apps/socketPath.ts';
import { AuthorityClient } from '../../src/drivers/links/local/authorityClient.ts';
import { ProvisionerClient } from '../../src/drivers/links/local/provisionerClient.ts';
import { StatusClient } from '../../src/drivers/links/local/statusClient.ts';
import { isRefusal, type Refusal } from '../../src/trust/ports/faults.ts';
import { encodePem } from '../../src/wire/x509/pem.ts';
import { requestOf } from './issuing/station.ts';
import { testSigner } from './issuing/world.ts';

export const houseBase = 'http://status.maker.example';
export const housePassphrase = 'correct horse battery';
const passphrase = housePassphrase;

export interface StatusHouse {
  readonly dataFolder: string;
  readonly provisioner: Provisioner;
  readonly status: StatusClient;
  readonly issuing: AuthorityClient;
  readonly operator: ProvisionerClient;
  /** `http://127.0.0.1:port`, without a slash at the end. */
  readonly url: string;
  readonly troubles: string[];
  /** DER, leaf first. */
  enrol(name: string): Promise<readonly Uint8Array[]>;
  closeAuthority(): Promise<void>;
  /** After it was closed. */
  startAuthority(): Promise<void>;
}

export async function statusHouse(
  context: { after(done: () => Promise<void>): void },
  plan: Partial<StatusPlan> = {},
  /** Between the making of the authorities and their first start. */
  beforeStart: (dataFolder: string) => Promise<void> = () => Promise.resolve(),
): Promise<StatusHouse> {
  const dataFolder = mkdtempSync(join(tmpdir(), 'birthmark-status-'));
  const clock = { nowMs: Date.now };
  const status = { baseUrl: houseBase, shards: 4, ...plan };
  await initializeAuthority({
    dataFolder,
    passphrase,
    organization: 'Test',
    clock,
    costLog2: 4,
    status,
  });
  await beforeStart(dataFolder);
  let authority: RunningAuthority = await startAuthority({
    dataFolder,
    passphrase,
    publishEveryMs: 50,
  });
  const socket = socketPathFor(dataFolder, 'authority');
  const client = new StatusClient(socket);
  const issuing = new AuthorityClient(socket);
  const troubles: string[] = [];
  const provisioner = await startProvisioner({
    folder: join(dataFolder, 'provisioner'),
    socketPath: socketPathFor(dataFolder, 'provisioner'),
    passphrase,
    keyCostLog2: 4,
    authority: issuing,
    owner: 'owner',
    names: ['localhost', '127.0.0.1'],
    host: '127.0.0.1',
    ports: { device: 0, station: 0, api: 0, mqtt: 0 },
    estPort: 0,
    status: { authority: client, port: 0 },
    onTrouble: (line) => troubles.push(line),
  });
  const operator = new ProvisionerClient(socketPathFor(dataFolder, 'provisioner'));
  context.after(async () => {
    operator.close();
    await provisioner.close();
    client.close();
    issuing.close();
    await authority.close();
    rmSync(dataFolder, { recursive: true });
  });
  return {
    dataFolder,
    provisioner,
    status: client,
    issuing,
    operator,
    url: `http://127.0.0.1:${provisioner.statusPort ?? 0}`,
    troubles,
    enrol: async (name) => {
      const request = await requestOf(testSigner());
      return allowed(await operator.enrolApplication('application', name, request)).chain;
    },
    closeAuthority: () => authority.close(),
    startAuthority: async () => {
      authority = await startAuthority({ dataFolder, passphrase, publishEveryMs: 50 });
    },
  };
}

export function allowed<Value>(outcome: Value | Refusal<string>): Value {
  assert.ok(!isRefusal(outcome), isRefusal(outcome) ? outcome.reason : '');
  return outcome;
}

export function pem(certificate: Uint8Array | undefined): string {
  assert.ok(certificate);
  return encodePem('CERTIFICATE', certificate);
}

export interface PlainAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Uint8Array;
}

export function fetchPlain(
  url: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<PlainAnswer> {
  return new Promise((resolve, reject) => {
    httpGet(url, { headers, agent: false }, (response) => {
      const parts: Buffer[] = [];
      response.on('data', (part: Buffer) => parts.push(part));
      response.on('end', () => {
        const body = new Uint8Array(Buffer.concat(parts));
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body });
      });
    }).on('error', reject);
  });
}

export function postPlain(url: string, type: string, body: Uint8Array): Promise<PlainAnswer> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': type, 'content-length': body.length };
    const request = httpRequest(url, { method: 'POST', headers, agent: false }, (response) => {
      const parts: Buffer[] = [];
      response.on('data', (part: Buffer) => parts.push(part));
      response.on('end', () => {
        const answer = new Uint8Array(Buffer.concat(parts));
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: answer });
      });
    });
    request.on('error', reject);
    request.end(body);
  });
}

/** Asks again until it holds; for what another process does in its own time. */
export async function until(holds: () => Promise<boolean>, limitMs = 10_000): Promise<void> {
  const endMs = Date.now() + limitMs;
  while (!(await holds())) {
    assert.ok(Date.now() < endMs, 'it did not happen in time');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
