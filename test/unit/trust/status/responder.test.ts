/** Answers for the status of certificates: RFC 6960 in the profile of RFC 9919. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nodeCrypto } from '../../../../src/drivers/keys/software/nodeCrypto.ts';
import { SoftwareVerifier } from '../../../../src/drivers/keys/software/verifier.ts';
import { EnvironmentError } from '../../../../src/trust/ports/faults.ts';
import type { SignedAnswer } from '../../../../src/trust/ports/statusAuthority.ts';
import { answerLifeMs } from '../../../../src/trust/status/responder.ts';
import { encodeOcspRequest, parseOcspRequest } from '../../../../src/wire/ocsp/request.ts';
import { type OcspResponse, parseOcspResponse } from '../../../../src/wire/ocsp/response.ts';
import * as der from '../../../../src/wire/der/writer.ts';
import { parseCertificate } from '../../../../src/wire/x509/certificate.ts';
import {
  decodeExtKeyUsage,
  extensionOids,
  findExtension,
  keyPurposes,
} from '../../../../src/wire/x509/extensions.ts';
import { startMs } from '../../../support/issuing/world.ts';
import { testKey } from '../../../support/pki.ts';
import { type OpenStatus, StatusWorld } from '../../../support/status.ts';

const dayMs = 86_400_000;
const device = '0123456789abcdef';
const other = 'fedcba9876543210';

function signed(answer: SignedAnswer | string): SignedAnswer {
  assert.ok(typeof answer !== 'string');
  return answer;
}

function read(answer: SignedAnswer | string): OcspResponse {
  const response = parseOcspResponse(signed(answer).der);
  assert.ok(typeof response === 'object');
  return response;
}

/** The delegate of an answer, after it and its signature were verified. */
function delegateOf(world: StatusWorld, role: string, response: OcspResponse) {
  const [delegate] = response.certificates.map(parseCertificate);
  assert.ok(delegate && response.certificates.length === 1);
  const verifier = new SoftwareVerifier();
  const { publicKeySpki } = world.issuer(role).signer;
  const { oid } = delegate.signatureAlgorithm;
  assert.ok(verifier.verify(publicKeySpki, oid, delegate.tbs, delegate.signature));
  const { signatureAlgorithm, responseData, signature } = response;
  assert.ok(verifier.verify(delegate.publicKey.spki, signatureAlgorithm, responseData, signature));
  return delegate;
}

interface Question {
  readonly role?: string;
  readonly hash?: 'SHA-1' | 'SHA-256';
  readonly nonce?: Uint8Array;
}

async function ask(
  world: StatusWorld,
  { responder }: OpenStatus,
  serialNumber: Uint8Array,
  { role = 'operational', hash = 'SHA-256', nonce }: Question = {},
): Promise<SignedAnswer | string> {
  const certId = world.certId(role, serialNumber, hash);
  return responder.answer(role, encodeOcspRequest(certId, nonce));
}

test('good, held, good again, revoked; by both hashes; signed by a delegate of the authority', async (context) => {
  const world = await StatusWorld.create(context);
  const open = await world.open();
  const { serialNumber } = await world.issue(open, device);
  const statuses: unknown[] = [];
  const look = async (): Promise<void> => {
    for (const hash of ['SHA-1', 'SHA-256'] as const) {
      const answer = signed(await ask(world, open, serialNumber, { hash }));
      assert.deepEqual(answer.holders, [device]);
      assert.deepEqual(
        [answer.thisUpdateMs, answer.nextUpdateMs],
        [world.nowMs, world.nowMs + answerLifeMs],
      );
      const response = read(answer);
      delegateOf(world, 'operational', response);
      const [single] = response.responses;
      assert.ok(single && response.responses.length === 1);
      assert.deepEqual(single.certId, world.certId('operational', serialNumber, hash));
      assert.equal(single.nextUpdateMs, answer.nextUpdateMs);
      assert.equal(response.nonce, undefined);
      if (hash === 'SHA-256') statuses.push(single.status);
    }
  };
  await look();
  await world.change(open, serialNumber, 'certificateHold');
  await look();
  await world.change(open, serialNumber, 'removeFromCRL');
  await look();
  await world.change(open, serialNumber, 'keyCompromise');
  await look();
  const revoked = { kind: 'revoked', revokedAtMs: startMs } as const;
  assert.deepEqual(statuses, [
    { kind: 'good' },
    { ...revoked, reason: 'certificateHold' },
    { kind: 'good' },
    { ...revoked, reason: 'keyCompromise' },
  ]);
});

test('RFC 9919 §3.2.2: the delegate signs answers only, is short-lived and not asked about itself', async (context) => {
  const world = await StatusWorld.create(context);
  const open = await world.open();
  const { serialNumber } = await world.issue(open, device);
  const response = read(await ask(world, open, serialNumber));
  const { extensions, notAfterMs, subject } = delegateOf(world, 'operational', response);
  const purposes = findExtension(extensions, extensionOids.extKeyUsage);
  assert.deepEqual(purposes && decodeExtKeyUsage(purposes.value), [keyPurposes.ocspSigning]);
  assert.ok(findExtension(extensions, extensionOids.ocspNoCheck));
  assert.equal(findExtension(extensions, extensionOids.authorityInfoAccess), undefined);
  assert.equal(findExtension(extensions, extensionOids.cRLDistributionPoints), undefined);
  assert.equal(notAfterMs, startMs + 7 * dayMs);
  assert.notDeepEqual(subject.der, world.issuer('operational').subject.der);
});

test('each authority has a responder of its own', async (context) => {
  const world = await StatusWorld.create(context);
  const open = await world.open();
  const { serialNumber } = await world.issue(open, 'a server', 'server');
  const response = read(await ask(world, open, serialNumber, { role: 'server' }));
  delegateOf(world, 'server', response);
  assert.equal(await ask(world, open, serialNumber, { role: 'factory' }), 'unauthorized');
});

test('a nonce comes back; several certificates are answered together', async (context) => {
  const world = await StatusWorld.create(context);
  const open = await world.open();
  const one = await world.issue(open, device);
  const two = await world.issue(open, other);
  await world.change(open, two.serialNumber, 'superseded');
  const nonce = Uint8Array.of(1, 2, 3);
  assert.deepEqual(read(await ask(world, open, one.serialNumber, { nonce })).nonce, nonce);
  const requests = [one, two].map(({ serialNumber }) =>
    der.sequence(world.certId('operational', serialNumber, 'SHA-1')),
  );
  const request = der.sequence(der.sequence(der.sequence(...requests)));
  const answer = signed(await open.responder.answer('operational', request));
  assert.deepEqual(answer.holders, [device, other]);
  assert.deepEqual(
    read(answer).responses.map(({ status }) => status.kind),
    ['good', 'revoked'],
  );
});

test('unauthorized: serial numbers never issued, issuers of others, hashes not known, no responder there', async (context) => {
  const world = await StatusWorld.create(context);
  const open = await world.open();
  const { serialNumber } = await world.issue(open, device);
  const { responder } = open;
  const unknown = new Uint8Array(16).fill(7);
  for (const serial of [unknown, Uint8Array.of(1), new Uint8Array(20).fill(9)]) {
    assert.equal(await ask(world, open, serial), 'unauthorized');
  }
  // Issued, by another authority.
  assert.equal(await ask(world, open, serialNumber, { role: 'server' }), 'unauthorized');
  const own = world.certId('operational', serialNumber, 'SHA-256');
  assert.equal(await responder.answer('server', encodeOcspRequest(own)), 'unauthorized');
  assert.equal(await responder.answer('root', encodeOcspRequest(own)), 'unauthorized');
  assert.equal(await responder.answer('nobody', encodeOcspRequest(own)), 'unauthorized');
  // One known and one not: nothing is said of either.
  const both = [own, world.certId('operational', unknown, 'SHA-256')].map((id) => der.sequence(id));
  const request = der.sequence(der.sequence(der.sequence(...both)));
  assert.equal(await responder.answer('operational', request), 'unauthorized');
  const sha384 = der.sequence(
    der.sequence(der.oid('2.16.840.1.101.3.4.2.2'), der.nullElement),
    der.octetString(new Uint8Array(48)),
    der.octetString(new Uint8Array(48)),
    der.unsignedInteger(serialNumber),
  );
  assert.equal(await responder.answer('operational', encodeOcspRequest(sha384)), 'unauthorized');
});

test('an intent that was never signed is no certificate', async (context) => {
  let away = false;
  const world = await StatusWorld.create(context, {
    between: {
      signer: (signer) => ({
        ...signer,
        sign: async (data) => {
          if (away) throw new EnvironmentError('away', { retryable: true });
          return signer.sign(data);
        },
      }),
    },
  });
  const open = await world.open();
  const answered = await world.issue(open, device);
  assert.ok(typeof (await ask(world, open, answered.serialNumber)) !== 'string');
  away = true;
  await assert.rejects(world.issue(open, device), /away/);
  const [intent] = await open.authority.issuanceStore.unfinished(0, 1);
  assert.ok(intent);
  assert.equal(await ask(world, open, intent.serialNumber), 'unauthorized');
});

test('malformed requests are told so', async (context) => {
  const world = await StatusWorld.create(context);
  const open = await world.open();
  const good = encodeOcspRequest(world.certId('operational', new Uint8Array(16), 'SHA-1'));
  for (const request of [new Uint8Array(0), good.subarray(1), Uint8Array.of(...good, 0)]) {
    assert.equal(await open.responder.answer('operational', request), 'malformedRequest');
  }
  assert.ok(parseOcspRequest(good));
});

test('delegates renew themselves, in time and once', async (context) => {
  const world = await StatusWorld.create(context);
  const open = await world.open();
  const { serialNumber } = await world.issue(open, device);
  const keyOf = async (): Promise<string> => {
    const response = read(await ask(world, open, serialNumber));
    return Buffer.from(delegateOf(world, 'operational', response).publicKey.key).toString('hex');
  };
  const [first, again] = await Promise.all([keyOf(), keyOf()]);
  assert.equal(first, again);
  world.nowMs += 4 * dayMs;
  await open.delegates.renew();
  assert.equal(await keyOf(), first);
  world.nowMs += dayMs;
  await open.delegates.renew();
  const second = await keyOf();
  assert.notEqual(second, first);
  // Asleep for long: an answer never outlives the certificate that vouches for it.
  world.nowMs += 6 * dayMs + dayMs / 2 + 1000;
  assert.notEqual(await keyOf(), second);
});

test('an authority that cannot certify a delegate answers nothing, and recovers', async (context) => {
  let away = false;
  const world = await StatusWorld.create(context, {
    between: {
      signer: (signer) => ({
        ...signer,
        sign: async (data) => {
          if (away) throw new EnvironmentError('away', { retryable: true });
          return signer.sign(data);
        },
      }),
    },
  });
  const open = await world.open();
  const { serialNumber } = await world.issue(open, device);
  away = true;
  await assert.rejects(ask(world, open, serialNumber), { name: 'EnvironmentError' });
  away = false;
  assert.equal(read(await ask(world, open, serialNumber)).responses.length, 1);
});

test('the key hash in the answer names the delegate', async (context) => {
  const world = await StatusWorld.create(context);
  const open = await world.open();
  const { serialNumber } = await world.issue(open, device);
  const answer = signed(await ask(world, open, serialNumber));
  const { publicKey } = delegateOf(world, 'operational', read(answer));
  const byKey = der.explicit(2, der.octetString(nodeCrypto.hash('SHA-1', publicKey.key)));
  assert.ok(Buffer.from(answer.der).includes(Buffer.from(byKey)));
  assert.ok(testKey().spki.length > 0);
});
