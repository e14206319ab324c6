/**
 * Answers for the status of certificates: kept ones in process and over HTTP, and those that are signed
 * for one question. Beside them, in the same run, what cannot be avoided: a look-up in a map, an HTTP
 * server that always says the same, and the signature alone.
 *
 * The client of the HTTP measurements is a thread on the same machine and takes what it needs of it.
 */
import { generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { newMemorySigner } from '../src/drivers/keys/software/memorySigner.ts';
import { nodeCrypto } from '../src/drivers/keys/software/nodeCrypto.ts';
import { openStatusDoor } from '../src/servers/http/status.ts';
import { Answers } from '../src/trust/status/answers.ts';
import { Delegates } from '../src/trust/status/delegates.ts';
import { StatusDesk } from '../src/trust/status/desk.ts';
import { PublishedLists } from '../src/trust/status/publishedLists.ts';
import { Responder } from '../src/trust/status/responder.ts';
import { toBase64 } from '../src/wire/bytes/base64.ts';
import { encodeCertId, encodeOcspRequest } from '../src/wire/ocsp/request.ts';
import { parseSpki } from '../src/wire/x509/spki.ts';
import { atLeast, type BenchResult, row } from './result.ts';
import { askInThread, type Load } from './support/httpLoad.ts';
import {
  authorityName,
  fillCertificates,
  openStatusWorld,
  type StatusWorld,
} from './support/statusWorld.ts';

const certificates = 100_000;
/** Of these have a kept answer. */
const asked = 10_000;
const lookUps = 2_000_000;
const nonces = 4_000;
const inFlight = 64;
/** Ours and the bare one in turns, so that a machine with other work is as slow for one as for the other. */
const rounds = 10;
const connections = 64;
const httpSeconds = 3;

const clock = { nowMs: (): number => Date.now() };

export async function run(): Promise<BenchResult> {
  const folder = mkdtempSync(join(tmpdir(), 'birthmark-bench-'));
  try {
    const bench = await open(folder);
    await keepAnswers(bench);
    const kept = lookUpInTurns(bench);
    const signed = await signInTurns(bench);
    const http = await askInTurns(bench);
    bench.world.database.close();
    return resultOf(kept, signed, http);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

interface Bench {
  readonly world: StatusWorld;
  readonly responder: Responder;
  readonly desk: StatusDesk;
  readonly answers: Answers;
  /** DER of CertIDs of the first `asked` certificates. */
  readonly certIds: readonly Uint8Array[];
  /** The same as requests, in base64. */
  readonly requests: readonly string[];
}

async function open(folder: string): Promise<Bench> {
  const world = await openStatusWorld(folder, { name: 'issuing', shards: 1, clock });
  const good = await fillCertificates(world, { count: certificates * 0.99, revoked: false });
  await fillCertificates(world, { count: certificates * 0.01, revoked: true });
  const { store, issuance, issuer } = world;
  const crypto = nodeCrypto;
  const delegates = new Delegates({ issuance, clock, crypto, newSigner: newMemorySigner });
  const responder = new Responder({ store, clock, crypto, issuers: [issuer], delegates });
  const desk = new StatusDesk(store, responder);
  const limits = { signing: { perSecond: 1e6, burst: 1e6 } };
  const answers = new Answers({ authority: desk, clock, limits });
  const issuerNameHash = crypto.hash('SHA-1', issuer.subject.der);
  const issuerKeyHash = crypto.hash('SHA-1', parseSpki(issuer.signer.publicKeySpki).key);
  const certIds = good
    .slice(0, asked)
    .map((serialNumber) =>
      encodeCertId({ hashAlgorithm: 'SHA-1', issuerNameHash, issuerKeyHash, serialNumber }),
    );
  const requests = certIds.map((certId) => toBase64(encodeOcspRequest(certId)));
  return { world, responder, desk, answers, certIds, requests };
}

async function keepAnswers({ answers, requests }: Bench): Promise<void> {
  await inParallel(requests, async (request) => {
    const answer = await answers.answer(authorityName, request);
    if (typeof answer === 'string') throw new Error(`not answered: ${answer}`);
  });
}

interface Pair {
  readonly ours: number;
  readonly bare: number;
}

function lookUpInTurns({ answers, requests }: Bench): Pair {
  const map = new Map(requests.map((request) => [`${authorityName}/${request}`, request]));
  const total = { ours: 0, bare: 0 };
  for (let round = 0; round < rounds; round++) {
    total.bare += timeOf(requests, (request) => map.get(`${authorityName}/${request}`));
    total.ours += timeOf(requests, (request) => answers.kept(authorityName, request));
  }
  const count = rounds * lookUps * 1000;
  return { ours: count / total.ours, bare: count / total.bare };
}

/** In milliseconds. */
function timeOf(requests: readonly string[], lookUp: (request: string) => unknown): number {
  const startedMs = performance.now();
  for (let count = 0; count < lookUps; count++) {
    if (lookUp(requests[count % asked] ?? '') === undefined) throw new Error('not kept');
  }
  return performance.now() - startedMs;
}

async function signInTurns({ responder, certIds }: Bench): Promise<Pair> {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const requests = certIds
    .slice(0, nonces)
    .map((certId) => encodeOcspRequest(certId, new Uint8Array(randomBytes(32))));
  const data = requests.map(() => new Uint8Array(randomBytes(300)));
  const total = { ours: 0, bare: 0 };
  for (let round = 0; round <= rounds; round++) {
    const bareMs = await msOf(async () => {
      for (const bytes of data) sign('sha256', bytes, privateKey);
    });
    const oursMs = await msOf(() =>
      inParallel(requests, (request) => responder.answer(authorityName, request)),
    );
    // The first round warms up.
    if (round === 0) continue;
    total.bare += bareMs;
    total.ours += oursMs;
  }
  const count = rounds * nonces * 1000;
  return { ours: count / total.ours, bare: count / total.bare };
}

async function msOf(work: () => Promise<unknown>): Promise<number> {
  const startedMs = performance.now();
  await work();
  return performance.now() - startedMs;
}

async function inParallel<Item>(
  items: readonly Item[],
  work: (item: Item) => Promise<unknown>,
): Promise<void> {
  const waiting = items.values();
  await Promise.all(
    Array.from({ length: inFlight }, async () => {
      for (const item of waiting) await work(item);
    }),
  );
}

async function askInTurns({ desk, answers, requests }: Bench): Promise<Pair> {
  const lists = new PublishedLists(desk);
  const door = await openStatusDoor({
    host: '127.0.0.1',
    port: 0,
    answers,
    lists,
    clock,
    certificate: () => Promise.resolve(undefined),
    onRefusal: (code) => {
      throw new Error(code);
    },
  });
  const paths = requests.map((text) => `/ocsp/${authorityName}/${encodeURIComponent(text)}`);
  const [request = ''] = requests;
  const bare = await openBare(answers.kept(authorityName, request)?.answer.der);
  const total = { ours: 0, bare: 0 };
  const load = { paths, connections, seconds: httpSeconds };
  for (let round = 0; round < 2; round++) {
    total.bare += await perSecond({ ...load, port: bare.port });
    total.ours += await perSecond({ ...load, port: door.port });
  }
  await door.close();
  await bare.close();
  return { ours: total.ours / 2, bare: total.bare / 2 };
}

async function perSecond(load: Load): Promise<number> {
  const report = await askInThread(load);
  if (report.failed > 0) throw new Error(`${report.failed} requests failed`);
  return report.perSecond;
}

interface BareServer {
  readonly port: number;
  close(): Promise<void>;
}

/** The same bytes to whoever asks, under as many header fields as ours have. */
async function openBare(der: Uint8Array = new Uint8Array(0)): Promise<BareServer> {
  const text = 'x'.repeat(66);
  const server = createServer((_request, response) => {
    response.writeHead(200, {
      etag: text,
      'last-modified': clockText,
      expires: clockText,
      'cache-control': text,
      'content-type': 'application/ocsp-response',
      'content-length': der.length,
    });
    response.end(der);
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const { port } = server.address() as AddressInfo;
  return {
    port,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}

const clockText = new Date().toUTCString();

function resultOf(kept: Pair, signed: Pair, http: Pair): BenchResult {
  return {
    rows: [
      row('certificates', certificates, 'certificates'),
      row('of these with a kept answer', asked, 'answers'),
      row('look-ups in a bare map', kept.bare, '1/s'),
      row('kept answers, in process', kept.ours, '1/s'),
      row('signatures alone, one thread, key at hand', signed.bare, '1/s'),
      row(`answers signed for one question, ${inFlight} under way`, signed.ours, '1/s'),
      row('bare HTTP server', http.bare, '1/s'),
      row('kept answers, over HTTP', http.ours, '1/s'),
      row('kept answers over HTTP, of the bare server', http.ours / http.bare, '×'),
    ],
    promises: [
      atLeast('kept answers a second, in process', 200_000, kept.ours),
      atLeast('kept answers a second, over HTTP', 10_000, http.ours),
      atLeast(
        'answers signed for one question, of signatures alone',
        0.6,
        signed.ours / signed.bare,
      ),
    ],
  };
}
