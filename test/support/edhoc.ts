/** What the EDHOC tests share: keys, credentials, fixed ephemeral keys, and a handshake step by step. */
import assert from 'node:assert/strict';
import { createPrivateKey, hash, type KeyObject, sign } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { nodeCrypto } from '../../src/drivers/keys/software/nodeCrypto.ts';
import { concat } from '../../src/wire/bytes/bytes.ts';
import { fromHex, toHex } from '../../src/wire/bytes/hex.ts';
import { buildCcs } from '../../src/wire/cose/ccs.ts';
import { type CoseKey, ec2KeyOfPoint } from '../../src/wire/cose/key.ts';
import type { Crypto, Curve, EphemeralKey } from '../../src/wire/crypto/crypto.ts';
import type { AwaitApplication, AwaitMessage4 } from '../../src/wire/edhoc/completion.ts';
import type { OwnCredential } from '../../src/wire/edhoc/credential.ts';
import type { EadItem } from '../../src/wire/edhoc/ead.ts';
import { kidIdCred } from '../../src/wire/edhoc/idCred.ts';
import { startInitiator } from '../../src/wire/edhoc/initiator.ts';
import type { AgreementNeeded, SignatureNeeded } from '../../src/wire/edhoc/proof.ts';
import type { EdhocRefusal } from '../../src/wire/edhoc/refusal.ts';
import { readMessage1 } from '../../src/wire/edhoc/responder.ts';
import type { EdhocSession } from '../../src/wire/edhoc/session.ts';
import { authenticationOf, type Method, suiteOf } from '../../src/wire/edhoc/suites.ts';

export interface VectorRow {
  readonly section: string;
  readonly name: string;
  readonly form: string;
  readonly hex: string;
}

export function loadVectors(folder: string, name: string): readonly VectorRow[] {
  const file = new URL(`../vectors/${folder}/${name}.json`, import.meta.url);
  return JSON.parse(readFileSync(file, 'utf8')) as VectorRow[];
}

/** The first row of that name and form, from a section whose title starts so. */
export function vector(
  rows: readonly VectorRow[],
  section: string,
  name: string,
  form?: string,
): Uint8Array {
  const row = rows.find(
    (candidate) =>
      candidate.section.startsWith(section) &&
      candidate.name === name &&
      (form === undefined || candidate.form === form),
  );
  assert.ok(row, `no ${name} (${form}) in ${section}`);
  return fromHex(row.hex);
}

/** Gives the private keys out in order as ephemeral keys, and then fails. */
export function withEphemerals(...privateKeys: readonly Uint8Array[]): Crypto {
  const left = [...privateKeys];
  return {
    ...nodeCrypto,
    generateKeyPair: (curve) => {
      const bytes = left.shift();
      assert.ok(bytes, 'no ephemeral key left');
      return importPrivate(curve, bytes);
    },
  };
}

/** Keys and random bytes of a seed: the same in every run. */
export function seededCrypto(seed: string): Crypto {
  let counter = 0;
  const draw = (lengthBytes: number): Uint8Array => {
    const output = new Uint8Array(lengthBytes);
    for (let offset = 0; offset < lengthBytes; offset += 32) {
      const block = hash('sha256', `${seed} ${counter++}`, 'buffer');
      output.set(block.subarray(0, Math.min(32, lengthBytes - offset)), offset);
    }
    return output;
  };
  const privateBytes: Readonly<Record<Curve, number>> = {
    'P-256': 32,
    'P-384': 48,
    'P-521': 66,
    X25519: 32,
    X448: 56,
    Ed25519: 32,
    Ed448: 57,
  };
  return {
    ...nodeCrypto,
    random: draw,
    generateKeyPair: (curve) => importPrivate(curve, draw(privateBytes[curve])),
  };
}

export function importPrivate(curve: Curve, bytes: Uint8Array): EphemeralKey {
  const key = nodeCrypto.importEphemeral(curve, bytes);
  assert.ok(key);
  return key;
}

/** One side: a credential and the private key that would be in its element. */
export interface Party {
  readonly credential: OwnCredential;
  readonly privateKey: EphemeralKey;
}

/** A party with a fresh key, its CCS and a kid. */
export function makeParty(
  curve: Curve,
  kid: Uint8Array,
  subject: string,
  crypto: Crypto = nodeCrypto,
): Party {
  const privateKey = crypto.generateKeyPair(curve);
  const point = publicPoint(privateKey);
  const isEc = curve === 'P-256' || curve === 'P-384' || curve === 'P-521';
  const key: CoseKey = isEc
    ? ec2KeyOfPoint(curve, point)
    : { type: 'OKP', curve, x: privateKey.publicKey };
  const publicKey = nodeCrypto.importPublicKey(curve, point);
  assert.ok(publicKey);
  const { bytes: cred } = buildCcs({ subject, key });
  return { credential: { idCred: kidIdCred(kid), cred, publicKey }, privateKey };
}

/** A party whose key fits one side of method and suite. */
export function partyFor(
  method: Method,
  suite: number,
  side: 'initiator' | 'responder',
  kid: Uint8Array,
  crypto: Crypto = nodeCrypto,
): Party {
  const { curve, signatureCurve } = suiteOf(suite);
  const authentication = authenticationOf(method)[side];
  const keyCurve = authentication === 'static-dh' ? curve : signatureCurve;
  return makeParty(keyCurve, kid, side, crypto);
}

/** Signatures need the whole point: x alone leaves two keys. */
function publicPoint(key: EphemeralKey): Uint8Array {
  const { x, y } = keyObject(key).export({ format: 'jwk' });
  if (y === undefined) return key.publicKey;
  const coordinate = (text: string | undefined): Uint8Array => Buffer.from(text ?? '', 'base64url');
  return concat(Uint8Array.of(4), coordinate(x), coordinate(y));
}

const pkcs8Prefixes: Readonly<Record<string, string>> = {
  'P-256': '3041020100301306072a8648ce3d020106082a8648ce3d030107042730250201010420',
  'P-384': '304e020100301006072a8648ce3d020106052b81040022043730350201010430',
  X25519: '302e020100300506032b656e04220420',
  Ed25519: '302e020100300506032b657004220420',
};

function keyObject(key: EphemeralKey): KeyObject {
  const prefix = pkcs8Prefixes[key.curve];
  assert.ok(prefix, key.curve);
  const der = concat(fromHex(prefix), nodeCrypto.exportEphemeral(key));
  return createPrivateKey({ key: Buffer.from(der), format: 'der', type: 'pkcs8' });
}

/** Does what an element would do. */
export function act<Step>(
  pause: AgreementNeeded<Step> | SignatureNeeded<Step>,
  { privateKey }: Party,
): Step {
  if (pause.kind === 'agreement-needed') {
    const secret = nodeCrypto.agree(privateKey, pause.peerKey);
    assert.ok(secret);
    return pause.finish(secret);
  }
  return pause.finish(signWith(privateKey, pause.toBeSigned));
}

export function signWith(privateKey: EphemeralKey, data: Uint8Array): Uint8Array {
  const digest = { 'P-256': 'sha256', 'P-384': 'sha384' }[privateKey.curve as string] ?? null;
  const key = { key: keyObject(privateKey), dsaEncoding: 'ieee-p1363' } as const;
  return new Uint8Array(sign(digest, data, key));
}

/** The step, or a failure that says why it was refused. */
export function granted<Step extends object>(outcome: Step | EdhocRefusal): Step {
  if ('refused' in outcome) {
    assert.fail(`refused: ${outcome.refused}, ${outcome.reason}`);
  }
  return outcome;
}

export interface Handshake {
  readonly messages: readonly Uint8Array[];
  readonly initiator: EdhocSession;
  readonly responder: EdhocSession;
}

export interface HandshakeOptions {
  readonly method: Method;
  readonly suites?: readonly number[];
  readonly responderSuites?: readonly number[];
  readonly message4?: boolean;
  readonly initiator: Party;
  readonly responder: Party;
  readonly cI?: Uint8Array;
  readonly cR?: Uint8Array;
  readonly ead?: readonly (readonly EadItem[])[];
  readonly initiatorCrypto?: Crypto;
  readonly responderCrypto?: Crypto;
}

/** A whole handshake, both sides in one process. */
export function handshake(options: HandshakeOptions): Handshake {
  const { method, initiator, responder, ead = [] } = options;
  const suites = options.suites ?? [2];
  const selectedSuite = suites.at(-1) ?? 2;
  const message4 = options.message4 ?? true;
  const common = { message4, oscore: true, knownEad: [1, 2, 3, 4] };
  const started = startInitiator(
    options.initiatorCrypto ?? nodeCrypto,
    { ...common, method, suites, selectedSuite },
    { connectionId: options.cI ?? fromHex('0e'), ead1: ead[0] ?? [] },
  );
  const accepted = granted(
    readMessage1(
      options.responderCrypto ?? nodeCrypto,
      { ...common, methods: [method], suites: options.responderSuites ?? [selectedSuite] },
      started.message1,
    ),
  );
  const answer = act(
    granted(
      accepted.compose({
        connectionId: options.cR ?? fromHex('27'),
        own: responder.credential,
        ead2: ead[1] ?? [],
      }),
    ),
    responder,
  );
  const needed = granted(started.next.readMessage2(answer.message2));
  const verified = granted(needed.accept(responder.credential));
  const third = act(
    granted(verified.compose({ own: initiator.credential, ead3: ead[2] ?? [] })),
    initiator,
  );
  const candidate = granted(answer.next.readMessage3(third.message3));
  const done = granted(candidate.accept(initiator.credential));
  const { session, message4: fourth } = done.finish(message4 ? { ead4: ead[3] ?? [] } : {});
  const messages = [started.message1, answer.message2, third.message3];
  if (fourth !== undefined) messages.push(fourth);
  return { messages, initiator: complete(third.next, fourth), responder: session };
}

function complete(
  state: AwaitMessage4 | AwaitApplication,
  message4: Uint8Array | undefined,
): EdhocSession {
  if (state.kind === 'await-application') return state.confirm();
  assert.ok(message4);
  return granted(state.readMessage4(message4)).session;
}

export const secretHex = (session: EdhocSession): string =>
  toHex(session.exporter(0, new Uint8Array(0), 16));
