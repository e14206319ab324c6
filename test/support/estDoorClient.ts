/** A client of EST at the door for it, of a house with an authority as it runs. */
import assert from 'node:assert/strict';
import { request as httpsRequest } from 'node:https';
import { socketPathFor } from '../../src/apps/socketPath.ts';
import { nodeCrypto } from '../../src/drivers/keys/software/nodeCrypto.ts';
import { DeskClient } from '../../src/drivers/links/local/deskClient.ts';
import { decodeBody, encodeBody } from '../../src/wire/est/body.ts';
import { decodeCertsOnly } from '../../src/wire/est/certsOnly.ts';
import { encodeCertId, encodeOcspRequest } from '../../src/wire/ocsp/request.ts';
import { parseOcspResponse } from '../../src/wire/ocsp/response.ts';
import { parseCertificate } from '../../src/wire/x509/certificate.ts';
import { type TestKey, testKey, testRequest } from './pki.ts';
import { allowed, pem, postPlain, type StatusHouse } from './statusHouse.ts';

export interface Held {
  readonly key: TestKey;
  readonly certificate: Uint8Array;
}

export class EstDoorClient {
  readonly #house: StatusHouse;
  readonly #ca: string;

  private constructor(house: StatusHouse, ca: string) {
    this.#house = house;
    this.#ca = ca;
  }

  static async create(house: StatusHouse): Promise<EstDoorClient> {
    const { roots } = await house.issuing.hierarchy();
    return new EstDoorClient(house, pem(roots[0]));
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

  /** One that a new device spends: told once. */
  async secret(profile: string): Promise<string> {
    const desk = new DeskClient(socketPathFor(this.#house.dataFolder, 'authority'));
    const order = { product: 'meter', profile, lifetimeMs: 600_000 };
    const { secret } = allowed(await desk.createSecret(order));
    desk.close();
    return secret;
  }

  async enrolBySecret(path: string, profile: string): Promise<Held> {
    return this.enrol(path, undefined, testKey(), await this.secret(profile));
  }
}
