/** One station over mutual TLS, in a thread of its own: signed batches to the door of stations, answers verified. */
import { once } from 'node:events';
import { join } from 'node:path';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { openStation, requestStation, saveStation } from '../../src/apps/line/stationFolder.ts';
import { nodeCrypto } from '../../src/drivers/keys/software/nodeCrypto.ts';
import { StationClient } from '../../src/drivers/links/https/stationClient.ts';
import { isRefusal, type Refusal } from '../../src/trust/ports/faults.ts';
import { fixedSignature } from '../../src/wire/der/ecdsa.ts';
import {
  encodeEndorseRequest,
  isEndorsed,
  readEndorseAnswer,
} from '../../src/wire/line/endorsement.ts';
import { bindingTo, isSignedBy, parseSigned, prepareSigned } from '../../src/wire/line/signed.ts';
import { assembleForBench, type EstHouse } from './estHouse.ts';
import { makeUnits } from './units.ts';

export interface StationRate {
  readonly perSecond: number;
  /** Of station, provisioner and authority together. */
  readonly cpuMicros: number;
}

interface StationTask {
  readonly port: number;
  readonly folder: string;
  readonly ticket: Uint8Array;
}

const unitsPerRequest = 100;
const requests = { warmUp: 20, counted: 100 };
/** As many as a station has. */
const requestsInFlight = 4;
const passphrase = 'of a station';
const dayMs = 86_400_000;

export async function stationRate(folder: string): Promise<StationRate> {
  const house = await assembleForBench(folder, 0);
  try {
    const task = await enrolled(house, join(folder, 'station'));
    const worker = new Worker(new URL(import.meta.url), { workerData: task });
    const [rate] = (await once(worker, 'message')) as [StationRate];
    await worker.terminate();
    return rate;
  } finally {
    await house.close();
  }
}

async function enrolled(house: EstHouse, folder: string): Promise<StationTask> {
  const name = 'bench-station';
  const request = await requestStation(folder, passphrase, name, 4);
  const enrolment = done(await house.authority.enrolStation(name, request));
  await saveStation(folder, { ...enrolment, certificates: enrolment.chain });
  await house.admit(name, enrolment.chain[0] ?? new Uint8Array(0));
  const { signer } = await openStation(folder, passphrase);
  const count = (requests.warmUp + requests.counted) * unitsPerRequest;
  done(
    await house.authority.createOrder({
      order: 'bench',
      product: 'bench',
      family: 'software',
      hwType: '1.3.6.1.4.1.32473.1',
      partNumber: '',
      quantity: count,
      leastProof: 'line-anchored',
      serverIdentity: Uint8Array.of(0),
    }),
  );
  const ticket = done(
    await house.authority.issueTicket({
      batch: 'bench',
      count,
      stationKeySpki: signer.publicKeySpki,
      notBeforeMs: Date.now() - dayMs,
      notAfterMs: Date.now() + dayMs,
    }),
  );
  return { port: house.stationPort, folder, ticket: ticket.signed };
}

function done<Value>(outcome: Value | Refusal<string>): Value {
  if (isRefusal(outcome)) throw new Error(outcome.reason);
  return outcome;
}

async function endorseAll({ port, folder, ticket }: StationTask): Promise<StationRate> {
  const { signer, tls, serverAnchors, orderKey } = await openStation(folder, passphrase);
  const client = new StationClient({ host: 'localhost', port }, tls, serverAnchors);
  const endorse = async (): Promise<void> => {
    const payload = encodeEndorseRequest({ ticket, units: batches.pop() ?? [] });
    const unsigned = prepareSigned(payload);
    const signature = await signer.sign(unsigned.toBeSigned);
    const message = unsigned.finish(fixedSignature(signature, 32));
    const answer = parseSigned(await client.post('endorse', message));
    if (!isSignedBy(nodeCrypto, orderKey, answer, bindingTo(nodeCrypto, message))) {
      throw new Error('an answer is forged');
    }
    const { units } = readEndorseAnswer(answer.payload);
    if (!units.every(isEndorsed)) throw new Error('a unit was refused');
  };
  const send = async (count: number): Promise<void> => {
    let left = count;
    const lane = async (): Promise<void> => {
      while (left-- > 0) await endorse();
    };
    await Promise.all(Array.from({ length: requestsInFlight }, lane));
  };
  // Elements make their keys before they are presented.
  const batches = Array.from({ length: requests.warmUp + requests.counted }, () =>
    makeUnits(unitsPerRequest),
  );
  await send(requests.warmUp);
  const before = process.cpuUsage();
  const startMs = performance.now();
  await send(requests.counted);
  const seconds = (performance.now() - startMs) / 1000;
  const { user, system } = process.cpuUsage(before);
  client.close();
  const units = requests.counted * unitsPerRequest;
  return { perSecond: units / seconds, cpuMicros: (user + system) / units };
}

if (!isMainThread) {
  parentPort?.postMessage(await endorseAll(workerData as StationTask), []);
}
