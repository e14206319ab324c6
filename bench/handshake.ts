/**
 * EDHOC, both sides in one process, beside its raw node:crypto calls in the same rounds. The raw calls are
 * the fastest ways that we know to do the same work with keys that are imported once.
 */
import {
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  type KeyObject,
  sign,
  verify,
} from 'node:crypto';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { nodeCrypto } from '../src/drivers/keys/software/nodeCrypto.ts';
import { concat } from '../src/wire/bytes/bytes.ts';
import { buildCcs } from '../src/wire/cose/ccs.ts';
import { ec2KeyOfPoint, importKey } from '../src/wire/cose/key.ts';
import type { Crypto, EphemeralKey } from '../src/wire/crypto/crypto.ts';
import { fixedSignature } from '../src/wire/der/ecdsa.ts';
import type { OwnCredential } from '../src/wire/edhoc/credential.ts';
import { kidIdCred } from '../src/wire/edhoc/idCred.ts';
import { startInitiator } from '../src/wire/edhoc/initiator.ts';
import type { AgreementNeeded, SignatureNeeded } from '../src/wire/edhoc/proof.ts';
import { type PskCredential, resumptionCredential } from '../src/wire/edhoc/psk.ts';
import { startPskInitiator } from '../src/wire/edhoc/pskInitiator.ts';
import { readPskMessage1 } from '../src/wire/edhoc/pskResponder.ts';
import { type EdhocRefusal, isEdhocRefusal } from '../src/wire/edhoc/refusal.ts';
import { readMessage1 } from '../src/wire/edhoc/responder.ts';
import type { EdhocSession } from '../src/wire/edhoc/session.ts';
import type { Method } from '../src/wire/edhoc/suites.ts';
import { atMost, type BenchResult, type BenchRow, row } from './result.ts';

/** Of the raw calls: method 3, suite 2. */
const promisedRatio = 1.45;
const rounds = 30;
const turns = 100;
/** Rounds before those that count: by then the code is compiled, as it is in a server. */
const warmUpRounds = 8;

export function run(): BenchResult {
  const parties = { initiator: newParty(0x2b), responder: newParty(0x32) };
  const psk = resumptionCredential(nodeCrypto, handshake(3, parties).initiator);
  const raw = rawCalls();
  const rows: BenchRow[] = [];
  const subjects = [
    { label: 'method 3, suite 2', edhoc: () => handshake(3, parties), bound: raw.method3 },
    { label: 'method 0, suite 2', edhoc: () => handshake(0, parties), bound: raw.method0 },
    { label: 'PSK resumption, suite 2', edhoc: () => resumption(psk), bound: raw.psk },
  ];
  const ratios = subjects.map(({ label, edhoc, bound }) => {
    const measured = paired(edhoc, bound);
    rows.push(
      row(`${label}, both sides`, measured.subjectUs, 'µs'),
      row(`${label}, its raw calls`, measured.boundUs, 'µs'),
      row(`${label}, ratio`, measured.ratio, '×'),
    );
    return measured.ratio;
  });
  rows.push(...whereItGoes(parties));
  const [ratio = Number.NaN] = ratios;
  return { rows, promises: [atMost('method 3, suite 2, of its raw calls', promisedRatio, ratio)] };
}

/** One key for both methods, which outside of a bench nobody should have (RFC 9528 §9.2). */
interface Party {
  readonly credential: OwnCredential;
  readonly signKey: KeyObject;
  readonly agreeKey: EphemeralKey;
}

interface Parties {
  readonly initiator: Party;
  readonly responder: Party;
}

const cI = Uint8Array.of(0x0e);
const cR = Uint8Array.of(0x27);
const profile = { suites: [2], message4: false };

function newParty(kid: number): Party {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const { d } = privateKey.export({ format: 'jwk' });
  const agreeKey = nodeCrypto.importEphemeral('P-256', Buffer.from(d ?? '', 'base64url'));
  if (agreeKey === undefined) throw new Error('a generated key can be imported');
  const key = ec2KeyOfPoint('P-256', nodeCrypto.publicPoint(agreeKey));
  const publicKey = importKey(nodeCrypto, key);
  if (publicKey === undefined) throw new Error('a generated key is on its curve');
  const cred = buildCcs({ subject: `party ${kid}`, key }).bytes;
  const idCred = kidIdCred(Uint8Array.of(kid));
  return { credential: { idCred, cred, publicKey }, signKey: privateKey, agreeKey };
}

function handshake(
  method: Method,
  { initiator, responder }: Parties,
  crypto: Crypto = nodeCrypto,
): { readonly initiator: EdhocSession; readonly responder: EdhocSession } {
  const first = startInitiator(crypto, { ...profile, method }, { connectionId: cI });
  const accepted = granted(readMessage1(crypto, { ...profile, methods: [method] }, first.message1));
  const composing = accepted.compose({ connectionId: cR, own: responder.credential });
  const second = act(granted(composing), responder, crypto);
  const needed = granted(first.next.readMessage2(second.message2));
  const verified = granted(needed.accept(responder.credential));
  const third = act(granted(verified.compose({ own: initiator.credential })), initiator, crypto);
  const candidate = granted(second.next.readMessage3(third.message3));
  const { session } = granted(candidate.accept(initiator.credential)).finish();
  if (third.next.kind !== 'await-application') throw new Error('the profile has no message_4');
  return { initiator: third.next.confirm(), responder: session };
}

function resumption(psk: PskCredential): void {
  const first = startPskInitiator(nodeCrypto, profile, { connectionId: cI });
  const accepted = granted(readPskMessage1(nodeCrypto, profile, first.message1));
  const second = granted(accepted.compose({ connectionId: cR }));
  const third = granted(first.next.readMessage2(second.message2)).compose({ psk });
  granted(granted(second.next.readMessage3(third.message3)).accept(psk)).finish();
}

/** What an element would do. */
function act<Step>(
  pause: AgreementNeeded<Step> | SignatureNeeded<Step>,
  { signKey, agreeKey }: Party,
  crypto: Crypto,
): Step {
  if (pause.kind === 'signature-needed') {
    return pause.finish(fixedSignature(sign('sha256', pause.toBeSigned, signKey), 32));
  }
  const secret = crypto.agree(agreeKey, pause.peerKey);
  if (secret === undefined) throw new Error('points of P-256 agree');
  return pause.finish(secret);
}

function granted<Step extends object>(outcome: Step | EdhocRefusal): Step {
  if (isEdhocRefusal(outcome)) throw new Error(`refused: ${outcome.reason}`);
  return outcome;
}

/** The asymmetric calls of a handshake, and nothing else. */
function rawCalls(): Readonly<Record<'method3' | 'method0' | 'psk', () => void>> {
  const long = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const data = new Uint8Array(200);
  const prefix = Buffer.from('3039301306072a8648ce3d020106082a8648ce3d03010703220002', 'hex');
  const ephemeral = (): { readonly privateKey: KeyObject; readonly x: Uint8Array } => {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    return { privateKey, x: publicKey.export({ format: 'raw-public' }).subarray(1, 33) };
  };
  const imported = (x: Uint8Array): KeyObject => {
    const base64 = Buffer.from(concat(prefix, x)).toString('base64');
    return createPublicKey(`-----BEGIN PUBLIC KEY-----\n${base64}\n-----END PUBLIC KEY-----\n`);
  };
  const agreeOn = (...pairs: ReadonlyArray<readonly [KeyObject, KeyObject]>): void => {
    for (const [privateKey, publicKey] of pairs) diffieHellman({ privateKey, publicKey });
  };
  const psk = (): { x: KeyObject; y: KeyObject; gX: KeyObject; gY: KeyObject } => {
    const [ours, theirs] = [ephemeral(), ephemeral()];
    const keys = { x: ours.privateKey, y: theirs.privateKey };
    const points = { gX: imported(ours.x), gY: imported(theirs.x) };
    agreeOn([keys.x, points.gY], [keys.y, points.gX]);
    return { ...keys, ...points };
  };
  return {
    psk,
    method3: () => {
      const { x, y, gX, gY } = psk();
      agreeOn([x, long.publicKey], [y, long.publicKey]);
      agreeOn([long.privateKey, gX], [long.privateKey, gY]);
    },
    method0: () => {
      psk();
      for (let side = 0; side < 2; side++) {
        const signature = sign('sha256', data, long.privateKey);
        verify('sha256', data, long.publicKey, signature);
      }
    },
  };
}

/** Time inside each primitive, of one handshake of method 3; the rest is ours: CBOR, states, copies. */
function whereItGoes(parties: Parties): readonly BenchRow[] {
  const spent = new Map<string, number>();
  const timed = <Arguments extends readonly unknown[], Result>(
    label: string,
    call: (...inputs: Arguments) => Result,
  ) => {
    spent.set(label, 0);
    return (...inputs: Arguments): Result => {
      const started = performance.now();
      const result = call(...inputs);
      spent.set(label, (spent.get(label) ?? 0) + performance.now() - started);
      return result;
    };
  };
  const crypto: Crypto = {
    ...nodeCrypto,
    generateKeyPair: timed('2 key pairs', (...inputs: Parameters<Crypto['generateKeyPair']>) =>
      nodeCrypto.generateKeyPair(...inputs),
    ),
    importPublicKey: timed('2 imports', (...inputs: Parameters<Crypto['importPublicKey']>) =>
      nodeCrypto.importPublicKey(...inputs),
    ),
    agree: timed('6 agreements', (...inputs: Parameters<Crypto['agree']>) =>
      nodeCrypto.agree(...inputs),
    ),
    hkdfExtract: timed('6 extractions', (...inputs: Parameters<Crypto['hkdfExtract']>) =>
      nodeCrypto.hkdfExtract(...inputs),
    ),
    hkdfExpand: timed('16 expansions', (...inputs: Parameters<Crypto['hkdfExpand']>) =>
      nodeCrypto.hkdfExpand(...inputs),
    ),
    hash: timed('9 hashes', (...inputs: Parameters<Crypto['hash']>) => nodeCrypto.hash(...inputs)),
    seal: timed('1 encryption', (...inputs: Parameters<Crypto['seal']>) =>
      nodeCrypto.seal(...inputs),
    ),
    open: timed('1 decryption', (...inputs: Parameters<Crypto['open']>) =>
      nodeCrypto.open(...inputs),
    ),
  };
  for (let turn = 0; turn < 500; turn++) handshake(3, parties, crypto);
  for (const label of spent.keys()) spent.set(label, 0);
  const count = 400;
  const started = performance.now();
  for (let turn = 0; turn < count; turn++) handshake(3, parties, crypto);
  const wholeMs = performance.now() - started;
  const parts = [...spent].map(([label, ms]) => row(`  ${label}`, (ms * 1000) / count, 'µs'));
  const rest = parts.reduce((left, { value }) => left - value, (wholeMs * 1000) / count);
  return [...parts, row('  CBOR, states, copies', rest, 'µs')];
}

/**
 * Processor time of the whole process over many short rounds in which subject and bound take turns: what
 * else the machine does falls on both alike, and waiting for a core on neither.
 */
function paired(
  subject: () => void,
  bound: () => void,
): { readonly subjectUs: number; readonly boundUs: number; readonly ratio: number } {
  let [subjectUs, boundUs] = [0, 0];
  for (let round = -warmUpRounds; round < rounds; round++) {
    const ofBound = timeOf(bound);
    const ofSubject = timeOf(subject);
    if (round < 0) continue;
    boundUs += ofBound / rounds;
    subjectUs += ofSubject / rounds;
  }
  return { subjectUs, boundUs, ratio: subjectUs / boundUs };
}

/**
 * With what is left to collect. Key objects hold memory outside of the heap, so that the raw calls seldom
 * make the collector run: in turns with the subject, it would be the subject that frees their keys.
 */
function timeOf(task: () => void): number {
  const before = process.cpuUsage();
  for (let turn = 0; turn < turns; turn++) task();
  collect({ type: 'minor' });
  const { user, system } = process.cpuUsage(before);
  return (user + system) / turns;
}

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as NodeJS.GCFunction;
