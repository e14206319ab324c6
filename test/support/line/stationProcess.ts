/** A real station process against a station door in this process, with files that outlive it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { requestStation, saveStation } from '../../../src/apps/line/stationFolder.ts';
import {
  createElementFolder,
  type ElementFolder,
} from '../../../src/drivers/elements/software/elementFolder.ts';
import type { LineStep } from '../../../src/trust/ports/lineTransport.ts';
import { parseCertificationRequest } from '../../../src/wire/x509/certificationRequest.ts';
import { testKey, testPki } from '../pki.ts';
import { uidOf } from './memoryFolder.ts';
import { TestAuthority } from './testAuthority.ts';

const commandFile = fileURLToPath(new URL('../../../src/apps/cli/main.ts', import.meta.url));
const passphrase = 'for tests only';
const weakCost = 4;

export interface Ended {
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly documents: ReadonlyArray<Readonly<Record<string, unknown>>>;
  readonly stderr: string;
}

export class StationRig {
  readonly path: string;
  readonly elements: ElementFolder;
  readonly authority: TestAuthority;
  readonly ticketFile: string;
  readonly #server: Server;
  #child: ChildProcess | undefined;
  /** Called with each request, before and after it is decided; the request waits for it. */
  onRequest: (step: LineStep, when: 'arrived' | 'decided') => void | Promise<void> = () =>
    undefined;

  private constructor(path: string, elements: ElementFolder, authority: TestAuthority) {
    this.path = path;
    this.elements = elements;
    this.authority = authority;
    this.ticketFile = join(path, 'reel.ticket');
    writeFileSync(this.ticketFile, authority.ticketBytes);
    const { privateKeyPem: key, chainPem: cert } = pki.serverIdentity();
    const options = { key, cert, requestCert: true, rejectUnauthorized: false } as const;
    this.#server = createServer(options, (request, response) => {
      const parts: Buffer[] = [];
      request.on('data', (part: Buffer) => parts.push(part));
      request.on('end', () => {
        void this.#answer(String(request.url), Buffer.concat(parts)).then((answer) => {
          response.setHeader('content-type', 'application/cbor');
          return response.end(answer);
        });
      });
    });
  }

  static async create(elements: number, quota: number = elements): Promise<StationRig> {
    const path = mkdtempSync(join(tmpdir(), 'birthmark-line-'));
    const folder = await createElementFolder(join(path, 'elements'), passphrase, weakCost);
    for (let number = 1; number <= elements; number++) await folder.create(uidOf(number));
    const csr = await requestStation(join(path, 'station'), passphrase, 'station-1', weakCost);
    const { spki } = parseCertificationRequest(csr).publicKey;
    const signer = { algorithm: 'ecdsa-with-SHA256', publicKeySpki: spki } as const;
    const unused = (): Promise<never> => Promise.reject(new Error('the station signs'));
    const authority = new TestAuthority({ ...signer, sign: unused }, { count: quota });
    await saveStation(join(path, 'station'), {
      certificates: pki.station('station-1', { key: { ...testKey(), spki } }).chain,
      serverAnchors: [pki.server.certificate.der],
      orderKeySpki: authority.orderKeySpki,
    });
    const rig = new StationRig(path, folder, authority);
    await new Promise<void>((resolve) => {
      rig.#server.listen(0, '127.0.0.1', resolve);
    });
    return rig;
  }

  get url(): string {
    const { port } = this.#server.address() as AddressInfo;
    return `https://127.0.0.1:${port}`;
  }

  /** `birthmark line VERB` with this rig's files; ends when the process does. */
  line(verb: 'run' | 'close', ...more: readonly string[]): Promise<Ended> {
    const files = ['--station', join(this.path, 'station'), '--ticket', this.ticketFile];
    const run = verb === 'run' ? ['--elements', this.elements.path] : [];
    return this.#start(['line', verb, ...files, '--server', this.url, ...run, ...more]);
  }

  status(): Promise<Ended> {
    return this.#start(['line', 'status', '--station', join(this.path, 'station')]);
  }

  /** SIGKILL: nothing of the process runs any more. */
  kill(): void {
    this.#child?.kill('SIGKILL');
  }

  terminate(): void {
    this.#child?.kill('SIGTERM');
  }

  close(): void {
    this.kill();
    this.#server.closeAllConnections();
    this.#server.close();
    rmSync(this.path, { recursive: true, force: true });
  }

  #start(words: readonly string[]): Promise<Ended> {
    const options = ['--disable-warning=ExperimentalWarning', commandFile, ...words, '--json'];
    const child = spawn(process.execPath, options, {
      env: { ...process.env, BIRTHMARK_PASSPHRASE: passphrase, BIRTHMARK_PASSPHRASE_FILE: '' },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#child = child;
    const documents: Array<Readonly<Record<string, unknown>>> = [];
    let stderr = '';
    createInterface({ input: child.stdout }).on('line', (line) => {
      documents.push(JSON.parse(line) as Readonly<Record<string, unknown>>);
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    return new Promise((resolve) => {
      child.on('close', (exitCode, signal) => resolve({ exitCode, signal, documents, stderr }));
    });
  }

  async #answer(path: string, message: Uint8Array): Promise<Uint8Array> {
    const step = path.replace('/line/v1/', '') as LineStep;
    await this.onRequest(step, 'arrived');
    const answer = await this.authority.post(step, new Uint8Array(message));
    await this.onRequest(step, 'decided');
    return answer;
  }
}

const pki = testPki();
