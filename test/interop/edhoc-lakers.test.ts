/** EDHOC message by message with lakers (in Rust), either side, with a fourth message, keys and their update. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { nodeCrypto } from '../../src/drivers/keys/software/nodeCrypto.ts';
import { fromHex, toHex } from '../../src/wire/bytes/hex.ts';
import { utf8 } from '../../src/wire/bytes/utf8.ts';
import { readServerIdentity, encodeServerIdentity } from '../../src/wire/edhoc/agreeCredential.ts';
import type { OwnCredential } from '../../src/wire/edhoc/credential.ts';
import type { EadItem } from '../../src/wire/edhoc/ead.ts';
import { startInitiator } from '../../src/wire/edhoc/initiator.ts';
import { readMessage1 } from '../../src/wire/edhoc/responder.ts';
import type { EdhocSession } from '../../src/wire/edhoc/session.ts';
import { generateP256, type P256KeyPair } from '../../src/drivers/elements/software/p256.ts';
import { act, granted, importPrivate, type Party } from '../support/edhoc.ts';
import { needsPython, PythonPeer, type Said } from '../support/python.ts';

const profile = { message4: true, oscore: true, knownEad: [7] };
const ead7: readonly EadItem[] = [{ label: 7, critical: false, value: utf8('ead') }];
const shownEad7 = [[7, toHex(utf8('ead'))]];

interface Side extends Party {
  readonly credential: OwnCredential;
  readonly scalar: string;
}

function side(name: string): Side {
  const keys = generateP256();
  const scalar = scalarOf(keys);
  const credential = readServerIdentity(
    nodeCrypto,
    encodeServerIdentity(nodeCrypto, name, keys.publicKey),
  );
  return { credential, scalar, privateKey: importPrivate('P-256', fromHex(scalar)) };
}

function scalarOf({ privateKey }: P256KeyPair): string {
  const { d } = privateKey.export({ format: 'jwk' });
  assert.ok(d !== undefined);
  return Buffer.from(d, 'base64url').toString('hex');
}

function lakers(
  context: TestContext,
  role: 'initiator' | 'responder',
  {
    own,
    peer,
    ead = [],
  }: { own: Side; peer: Side; ead?: ReadonlyArray<readonly [number, string]> },
  style: 'by-reference' | 'by-value' = 'by-reference',
): PythonPeer {
  const process = PythonPeer.start(context, 'edhoc.py');
  process.tell({
    role,
    style,
    ead,
    ownCredential: toHex(own.credential.cred),
    peerCredential: toHex(peer.credential.cred),
    privateKey: own.scalar,
  });
  return process;
}

const bytesOf = (said: Said, name: string): Uint8Array => {
  const value = said[name];
  if (typeof value !== 'string') assert.fail(`no ${name} in ${JSON.stringify(said)}`);
  return fromHex(value);
};

/** What both sides have to agree on when all is done. */
function keysOf(session: EdhocSession): Said {
  const secret = (of: EdhocSession): string => toHex(of.exporter(0, new Uint8Array(0), 16));
  const other = toHex(session.exporter(2, utf8('context'), 40));
  return { secret: secret(session), other, updated: secret(session.keyUpdate(utf8('epoch 1'))) };
}

for (const style of ['by-reference', 'by-value'] as const) {
  test(`lakers begins, its credential ${style}`, needsPython, async (context) => {
    const [them, us] = [side('initiator'), side('responder')];
    const peer = lakers(context, 'initiator', { own: them, peer: us, ead: [[7, '656164']] }, style);
    const first = bytesOf(await peer.next(), 'message1');
    const accepted = granted(
      readMessage1(nodeCrypto, { ...profile, methods: [3], suites: [2] }, first),
    );
    assert.deepEqual(accepted.ead1, ead7);
    const fields = { connectionId: fromHex('27'), own: us.credential, ead2: ead7 };
    const second = act(granted(accepted.compose(fields)), us);
    const third = await peer.ask({ message2: toHex(second.message2) });
    assert.equal(third['idCred'], toHex(us.credential.idCred));
    assert.equal(third['connectionId'], '27');
    assert.deepEqual(third['ead'], shownEad7);
    const candidate = granted(second.next.readMessage3(bytesOf(third, 'message3')));
    assert.equal(candidate.references[0]?.kind, style === 'by-value' ? 'kccs' : 'kid');
    const done = granted(candidate.accept(them.credential));
    const { session, message4 } = done.finish({ ead4: ead7 });
    assert.ok(message4);
    const last = await peer.ask({ message4: toHex(message4) });
    assert.deepEqual(last, { ead: shownEad7, ...keysOf(session) });
  });

  test(`lakers answers, its credential ${style}`, needsPython, async (context) => {
    const [us, them] = [side('initiator'), side('responder')];
    const peer = lakers(context, 'responder', { own: them, peer: us, ead: [[7, '656164']] }, style);
    const { next, message1 } = startInitiator(
      nodeCrypto,
      { ...profile, method: 3, suites: [2], selectedSuite: 2 },
      { connectionId: fromHex('0e'), ead1: ead7 },
    );
    const second = await peer.ask({ message1: toHex(message1) });
    assert.equal(second['connectionId'], '0e');
    assert.deepEqual(second['ead'], shownEad7);
    const needed = granted(next.readMessage2(bytesOf(second, 'message2')));
    assert.equal(needed.references[0]?.kind, style === 'by-value' ? 'kccs' : 'kid');
    const verified = granted(needed.accept(them.credential));
    const third = act(granted(verified.compose({ own: us.credential, ead3: ead7 })), us);
    const last = await peer.ask({ message3: toHex(third.message3) });
    assert.deepEqual(last['ead'], shownEad7);
    assert.ok(third.next.kind === 'await-message-4');
    const { session, ead4 } = granted(third.next.readMessage4(bytesOf(last, 'message4')));
    assert.deepEqual(ead4, ead7);
    const { secret, other, updated } = last;
    assert.deepEqual({ secret, other, updated }, keysOf(session));
  });
}

test('lakers refuses what another key has made', needsPython, async (context) => {
  const [them, us, stranger] = [side('initiator'), side('responder'), side('responder')];
  const peer = lakers(context, 'initiator', { own: them, peer: us });
  const first = bytesOf(await peer.next(), 'message1');
  const accepted = granted(
    readMessage1(nodeCrypto, { ...profile, methods: [3], suites: [2] }, first),
  );
  const fields = { connectionId: fromHex('27'), own: us.credential, ead2: [] };
  const { message2 } = act(granted(accepted.compose(fields)), stranger);
  assert.match(String((await peer.ask({ message2: toHex(message2) }))['refused']), /Mac/);
});

test('we refuse what another key of lakers has made', needsPython, async (context) => {
  const [us, them, other] = [side('initiator'), side('responder'), side('responder')];
  const liar = { ...them, scalar: other.scalar };
  const peer = lakers(context, 'responder', { own: liar, peer: us });
  const { next, message1 } = startInitiator(
    nodeCrypto,
    { ...profile, method: 3, suites: [2], selectedSuite: 2 },
    { connectionId: fromHex('0e'), ead1: [] },
  );
  const second = await peer.ask({ message1: toHex(message1) });
  const needed = granted(next.readMessage2(bytesOf(second, 'message2')));
  const outcome = needed.accept(them.credential);
  assert.ok('refused' in outcome);
});
