/** A claims set in ID_CRED_I: only the very bytes that stand for a device are its credential. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { generateP256 } from '../../../src/drivers/elements/software/p256.ts';
import { nodeCrypto } from '../../../src/drivers/keys/software/nodeCrypto.ts';
import { DeviceCredentials } from '../../../src/trust/sessions/deviceCredentials.ts';
import type { SessionPorts } from '../../../src/trust/sessions/ports.ts';
import { equal } from '../../../src/wire/bytes/bytes.ts';
import { MalformedError } from '../../../src/wire/bytes/malformed.ts';
import * as cbor from '../../../src/wire/cbor/writer.ts';
import { encodeCcs } from '../../../src/wire/cose/ccs.ts';
import { ec2KeyOfPoint } from '../../../src/wire/cose/key.ts';
import { deviceCredential, kidOfAgreeKey } from '../../../src/wire/edhoc/agreeCredential.ts';
import type { Credential } from '../../../src/wire/edhoc/credential.ts';
import {
  type CredentialReference,
  kccsIdCred,
  kidIdCred,
  parseIdCred,
} from '../../../src/wire/edhoc/idCred.ts';
import { MemoryCloneStore } from '../../support/memorySessionWitnesses.ts';
import { MemorySessionStore } from '../../support/memorySessionStore.ts';
import { contextSealing } from '../../support/field.ts';

const deviceId = 'abcdefgh01234567';
const { publicKey: point } = generateP256();
const genuine = deviceCredential(nodeCrypto, deviceId, point);
assert.ok(genuine);
const key = ec2KeyOfPoint('P-256', point, genuine.kid);
const ccs = genuine.cred;

const ports: SessionPorts = {
  crypto: nodeCrypto,
  clock: { nowMs: () => 1 },
  registry: {
    candidates: async () => [],
    candidateByKey: async (shown) =>
      equal(shown, point) ? { deviceId, agreeKey: point } : undefined,
    markEnrolled: async () => undefined,
  },
  store: new MemorySessionStore(),
  clones: new MemoryCloneStore(),
  sealing: contextSealing(nodeCrypto),
  agreement: { curve: 'P-256', publicKey: point, agree: async () => undefined },
  identity: genuine,
  deliver: async () => undefined,
  observe: () => undefined,
};
const credentials = new DeviceCredentials(ports);

/** The credentials that EDHOC was asked about, and what came of it. */
async function shown(
  references: readonly CredentialReference[],
  proof: 'signature' | 'static-dh' = 'static-dh',
): Promise<{ readonly asked: readonly Credential[]; readonly outcome: unknown }> {
  const asked: Credential[] = [];
  const accept = (credential: Credential): object => {
    asked.push(credential);
    return {};
  };
  const endpoint = { ingress: 'coap', linkAddress: Uint8Array.of(1) };
  const outcome = await credentials.recognize(
    { references, spent: false, accept },
    proof,
    endpoint,
  );
  return { asked, outcome };
}

async function isNobody(references: readonly CredentialReference[], note: string): Promise<void> {
  assert.deepEqual(await shown(references), { asked: [], outcome: 'unknown-credential' }, note);
}

test('CRED_I is the set that was sent', async () => {
  const { asked, outcome } = await shown(parseIdCred(kccsIdCred(ccs)));
  assert.deepEqual(
    asked.map(({ cred }) => cred),
    [ccs],
  );
  assert.deepEqual(outcome, { deviceId, verified: {}, authenticatedMs: 1 });
});

test('any other bit in it, and it is nobody', async () => {
  let read = 0;
  for (let bit = 0; bit < 8 * ccs.length; bit++) {
    const mutated = ccs.map((byte, at) => (at === bit >> 3 ? byte ^ (1 << (bit & 7)) : byte));
    const references = referencesOf(mutated);
    if (references === undefined) continue;
    read += 1;
    await isNobody(references, `bit ${bit}`);
  }
  assert.ok(read > 400, `${read} were maps`);
});

test('the same key in another set is nobody', async () => {
  const { y: _, ...compact } = key;
  const sign = (point[64] ?? 0) % 2 === 1;
  const others = {
    'no name': encodeCcs({ key }),
    "another's name": encodeCcs({ subject: 'abcdefgh01234568', key }),
    'no kid': encodeCcs({ subject: deviceId, key: ec2KeyOfPoint('P-256', point) }),
    'x alone': encodeCcs({ subject: deviceId, key: compact }),
    compressed: encodeCcs({ subject: deviceId, key: { ...key, y: sign } }),
    'an algorithm': encodeCcs({ subject: deviceId, key: { ...key, algorithm: -9 } }),
    'another curve': encodeCcs({
      subject: deviceId,
      key: { type: 'OKP', curve: 'X25519', x: key.x },
    }),
    'no key': cbor.map([cbor.integer(2), cbor.text(deviceId)]),
    empty: cbor.map(),
  };
  for (const [note, other] of Object.entries(others)) {
    await isNobody(parseIdCred(kccsIdCred(other)), note);
  }
});

test('a set does not stand beside a kid, and its key does not sign', async () => {
  const byValue = parseIdCred(kccsIdCred(ccs));
  const byKid = parseIdCred(kidIdCred(kidOfAgreeKey(nodeCrypto, point)));
  await isNobody([...byValue, ...byKid], 'beside');
  const signed = await shown(byValue, 'signature');
  assert.deepEqual(signed, { asked: [], outcome: 'unknown-credential' });
});

/** `undefined` where the wire refuses it already. */
function referencesOf(set: Uint8Array): readonly CredentialReference[] | undefined {
  try {
    return parseIdCred(kccsIdCred(set));
  } catch (error) {
    if (error instanceof MalformedError) return undefined;
    throw error;
  }
}
