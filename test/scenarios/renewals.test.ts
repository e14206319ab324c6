/** One live LDevID and one beside it while it is renewed: at the doors, in the registry, and in the answers about status. */
import assert from 'node:assert/strict';
import { request as httpsRequest } from 'node:https';
import { test, type TestContext } from 'node:test';
import { socketPathFor } from '../../src/apps/socketPath.ts';
import { nodeCrypto } from '../../src/drivers/keys/software/nodeCrypto.ts';
import { DeskClient } from '../../src/drivers/links/local/deskClient.ts';
import { decodeBody, encodeBody } from '../../src/wire/est/body.ts';
import { decodeCertsOnly } from '../../src/wire/est/certsOnly.ts';
import { encodeCertId, encodeOcspRequest } from '../../src/wire/ocsp/request.ts';
import { parseOcspResponse } from '../../src/wire/ocsp/response.ts';
import { parseCertificate } from '../../src/wire/x509/certificate.ts';
import { type TestKey, testKey, testRequest } from '../support/pki.ts';
import {
  allowed,
  pem,
  postPlain,
  type StatusHouse,
  statusHouse,
  until,
} from '../support/statusHouse.ts';

interface Held {
  readonly key: TestKey;
  readonly certificate: Uint8Array;
}

class Client {
  readonly #house: StatusHouse;
  readonly #ca: string;

  private constructor(house: StatusHouse, ca: string) {
    this.#house = house;
    this.#ca = ca;
  }

  static async create(house: StatusHouse): Promise<Client> {
    const { roots } = await house.issuing.hierarchy();
    return new Client(house, pem(roots[0]));
  }

  /** Status and body; 0 for who is hung up on. */
  ask(
    path: string,
    held: Held | undefined,
    sent?: { readonly body: Uint8Array; readonly secret?: string },
  ): Promise<{ readonly status: number; readonly body: Uint8Array }> {
    const identity = held === undefined ? {} : { key: held.key.pem, cert: pem(held.certificate) };
    const bearer = sent?.secret === undefined ? {} : { authorization: `Bearer ${sent.secret}` };
    return new Promise((resolve) => {
      const request = httpsRequest(
        {
          host: '127.0.0.1',
          port: this.#house.provisioner.estPort,
          path: `/.well-known/est/${path}`,
          method: sent === undefined ? 'GET' : 'POST',
          ca: this.#ca,
          agent: false,
          headers: { ...(sent && { 'content-type': 'application/pkcs10' }), ...bearer },
          ...identity,
        },
        (response) => {
          const parts: Buffer[] = [];
          response.on('data', (part: Buffer) => parts.push(part));
          response.on('end', () => {
            const body = new Uint8Array(Buffer.concat(parts));
            resolve({ status: response.statusCode ?? 0, body });
          });
        },
      );
      request.on('error', () => resolve({ status: 0, body: new Uint8Array(0) }));
      request.end(sent?.body);
    });
  }

  async enrol(path: string, held: Held | undefined, key: TestKey, secret?: string): Promise<Held> {
    const subject = held && { subject: parseCertificate(held.certificate).subject.der };
    const body = encodeBody(testRequest(key, subject));
    const answer = await this.ask(path, held, { body, ...(secret && { secret }) });
    assert.equal(answer.status, 200, Buffer.from(answer.body).toString());
    const [certificate] = decodeCertsOnly(decodeBody(answer.body));
    assert.ok(certificate);
    return { key, certificate };
  }

  async status({ certificate }: Held): Promise<string> {
    const { operational } = await this.#house.issuing.hierarchy();
    const { subject, publicKey } = parseCertificate(operational[0] ?? new Uint8Array(0));
    const { serialNumber } = parseCertificate(certificate);
    const hashAlgorithm = 'SHA-256';
    const request = encodeOcspRequest(
      encodeCertId({
        hashAlgorithm,
        issuerNameHash: nodeCrypto.hash(hashAlgorithm, subject.der),
        issuerKeyHash: nodeCrypto.hash(hashAlgorithm, publicKey.key),
        serialNumber,
      }),
    );
    const url = `${this.#house.url}/ocsp/operational`;
    const answer = parseOcspResponse(
      (await postPlain(url, 'application/ocsp-request', request)).body,
    );
    assert.ok(typeof answer === 'object');
    const status = answer.responses[0]?.status;
    return status?.kind === 'revoked' ? `revoked ${status.reason}` : String(status?.kind);
  }

  statuses(all: readonly Held[]): Promise<readonly string[]> {
    return Promise.all(all.map((held) => this.status(held)));
  }
}

async function firstOf(house: StatusHouse, client: Client): Promise<Held> {
  const desk = new DeskClient(socketPathFor(house.dataFolder, 'authority'));
  const order = { product: 'meter', profile: 'ldevid', lifetimeMs: 600_000 };
  const { secret } = allowed(await desk.createSecret(order));
  desk.close();
  return client.enrol('simpleenroll', undefined, testKey(), secret);
}

test('five renewals over one certificate leave two; the newest one, shown, is alone', async (context: TestContext) => {
  const house = await statusHouse(context);
  const client = await Client.create(house);
  const first = await firstOf(house, client);
  const renewals: Held[] = [];
  for (let round = 0; round < 5; round++) {
    renewals.push(await client.enrol('simplereenroll', first, testKey()));
  }
  const [lost, , , , newest] = renewals;
  assert.ok(lost && newest);
  const again = await client.enrol('simplereenroll', first, newest.key);
  assert.deepEqual(again.certificate, newest.certificate);
  const all = [first, ...renewals];
  const ended = 'revoked superseded';
  assert.deepEqual(await client.statuses(all), ['good', ended, ended, ended, ended, 'good']);
  assert.equal((await client.ask('cacerts', lost)).status, 0);
  assert.equal((await client.ask('cacerts', newest)).status, 200);
  await until(async () => (await client.status(first)) === ended);
  assert.deepEqual(await client.statuses(all), [ended, ended, ended, ended, ended, 'good']);
  assert.equal((await client.ask('cacerts', first)).status, 0);
  assert.equal((await client.ask('cacerts', newest)).status, 200);
  await client.enrol('simplereenroll', newest, testKey());
  assert.deepEqual(house.troubles, []);
});
