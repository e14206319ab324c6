import assert from 'node:assert/strict';
import { test } from 'node:test';
import { csrAttributesOf } from '../../../src/trust/enrolment/csrAttributes.ts';
import { type EnrolmentOutcome, type SentRequest } from '../../../src/trust/enrolment/enrolment.ts';
import { subjectMismatch } from '../../../src/trust/enrolment/subjectRule.ts';
import { InvariantError, isRefusal, refuse } from '../../../src/trust/ports/faults.ts';
import { parseBase64 } from '../../../src/wire/bytes/base64.ts';
import { fromHex, toHex } from '../../../src/wire/bytes/hex.ts';
import { nullElement } from '../../../src/wire/der/writer.ts';
import { decodeCsrAttributes, encodeCsrAttributes } from '../../../src/wire/est/csrAttributes.ts';
import { linkingPassword } from '../../../src/wire/est/popLinking.ts';
import { parseCertificate } from '../../../src/wire/x509/certificate.ts';
import { parseCertificationRequest } from '../../../src/wire/x509/certificationRequest.ts';
import * as ext from '../../../src/wire/x509/extensions.ts';
import { encodeName, printName } from '../../../src/wire/x509/names.ts';
import { testEnrolment } from '../../support/enrolment.ts';
import { ldevidFields, type TestKey, testKey, testRequest } from '../../support/pki.ts';
import { sha256Of } from '../../support/registrySamples.ts';

const sent = (
  key: TestKey,
  fields?: Parameters<typeof testRequest>[1],
  channelBinding?: Uint8Array,
): SentRequest => ({ der: testRequest(key, fields), channelBinding: () => channelBinding });

const noBinding = (): undefined => undefined;

const code = (outcome: EnrolmentOutcome): string =>
  isRefusal(outcome) ? outcome.refused : 'certificate' in outcome ? 'issued' : 'pending';

test('a device that is released gets an LDevID for the key it holds, under the names of the registry', async () => {
  const house = testEnrolment();
  const { deviceId, idevid } = await house.born(1);
  const peer = await house.peer(idevid);
  const claims = {
    subject: encodeName(['organizationName', 'Evil'], ['serialNumber', 'somebody-else']),
    extensions: [ext.basicConstraints({ ca: true }), ext.extKeyUsage(ext.keyPurposes.serverAuth)],
  };
  const outcome = await house.enrolment.simpleEnroll(peer, sent(idevid.key, claims), house.policy);
  assert.ok('certificate' in outcome);
  const certificate = parseCertificate(outcome.certificate);
  assert.equal(printName(certificate.subject), `serialNumber=${deviceId},O=Test Owner`);
  assert.deepEqual(certificate.publicKey.spki, idevid.key.spki);
  assert.equal(
    ext.findExtension(certificate.extensions, ext.extensionOids.basicConstraints),
    undefined,
  );
  const [asked] = house.authority.requests;
  assert.equal(asked?.deviceId, deviceId);
  assert.deepEqual(asked?.authenticatedBy, idevid.certificate.der);
  assert.deepEqual(asked?.issuers, [house.pki.factory.certificate.der]);
  assert.equal(asked?.product, (await house.registry.device(deviceId))?.product);
  const record = await house.registry.certificate(sha256Of(outcome.certificate));
  assert.deepEqual([record?.kind, record?.holder, record?.state], ['ldevid', deviceId, 'active']);
  assert.equal((await house.registry.device(deviceId))?.state, 'enrolled');
});

test('who may not enrol: not released, revoked, with the wrong certificate, twice where policy says once', async () => {
  const house = testEnrolment();
  const { enrolment, policy } = house;
  const expected = await house.born(1, 'expected');
  const early = await house.peer(expected.idevid);
  assert.equal(code(await enrolment.simpleEnroll(early, sent(testKey()), policy)), 'not-released');
  const { deviceId, idevid } = await house.born(2);
  const peer = await house.peer(idevid);
  assert.equal(
    code(await enrolment.simpleReenroll(peer, sent(testKey()), policy)),
    'wrong-identity',
  );
  assert.equal(code(await enrolment.simpleEnroll(peer, sent(idevid.key), policy)), 'issued');
  const once = { ...policy, again: 'refused' } as const;
  assert.equal(
    code(await enrolment.simpleEnroll(peer, sent(idevid.key), once)),
    'enrolled-already',
  );
  assert.equal(code(await enrolment.simpleEnroll(peer, sent(idevid.key), policy)), 'issued');
  await house.store.revokeDevices([deviceId], 'lost', 0);
  assert.equal(code(await enrolment.simpleEnroll(peer, sent(idevid.key), policy)), 'revoked');
  assert.equal(house.authority.requests.length, 2);
});

test('a request that is not signed by its own key, or whose key is somebody else’s', async () => {
  const house = testEnrolment();
  const { enrolment, policy, authority } = house;
  const one = await house.born(1);
  const other = await house.born(2);
  const peer = await house.peer(one.idevid);
  const altered = testRequest(one.idevid.key);
  altered[altered.length - 1] = (altered.at(-1) ?? 0) ^ 1;
  const unsigned = { der: altered, channelBinding: noBinding };
  assert.equal(code(await enrolment.simpleEnroll(peer, unsigned, policy)), 'bad-proof');
  const stolen = { ...testKey(), spki: other.idevid.key.spki };
  assert.equal(code(await enrolment.simpleEnroll(peer, sent(stolen), policy)), 'key-taken');
  assert.equal(
    code(await enrolment.simpleEnroll(peer, sent(other.idevid.key), policy)),
    'key-taken',
  );
  assert.equal(authority.requests.length, 0);
  authority.answer = () => Promise.resolve(refuse('key-taken', 'certified before'));
  assert.equal(code(await enrolment.simpleEnroll(peer, sent(testKey()), policy)), 'key-taken');
  await assert.rejects(
    enrolment.simpleEnroll(peer, { der: fromHex('3000'), channelBinding: noBinding }, policy),
    { name: 'MalformedError' },
  );
});

test('RFC 7030 §3.5: a password is channel binding, verified whenever it is there', async () => {
  const house = testEnrolment();
  const { enrolment, policy } = house;
  const { idevid } = await house.born(1);
  const peer = await house.peer(idevid);
  const exported = sha256Of('this connection');
  const linked = { challengePassword: linkingPassword(exported) };
  const enroll = async (request: SentRequest, popLinking = policy.popLinking): Promise<string> =>
    code(await enrolment.simpleEnroll(peer, request, { ...policy, popLinking }));
  assert.equal(await enroll(sent(idevid.key, linked, exported)), 'issued');
  assert.equal(await enroll(sent(idevid.key, linked, exported), 'required'), 'issued');
  assert.equal(await enroll(sent(idevid.key, linked, sha256Of('another'))), 'pop-linking');
  assert.equal(await enroll(sent(idevid.key, linked)), 'pop-linking');
  assert.equal(await enroll(sent(idevid.key, {}, exported), 'required'), 'pop-linking');
  assert.equal(await enroll(sent(idevid.key, {}, exported)), 'issued');
  const secret = { challengePassword: 'no binding at all' };
  assert.equal(await enroll(sent(idevid.key, secret, exported)), 'pop-linking');
});

test('RFC 7030 §4.2.2: renewal with the same key or a new one, under the same names', async () => {
  const house = testEnrolment();
  const { enrolment, policy } = house;
  const { deviceId, idevid } = await house.born(1);
  const first = await enrolment.simpleEnroll(await house.peer(idevid), sent(idevid.key), policy);
  assert.ok('certificate' in first);
  const ldevid = { ...idevid, chain: [first.certificate, house.pki.operational.certificate.der] };
  const peer = await house.peer(ldevid);
  const { subject } = ldevidFields(deviceId);
  const reenroll = async (request: SentRequest): Promise<string> =>
    code(await enrolment.simpleReenroll(peer, request, policy));
  assert.equal(
    code(await enrolment.simpleEnroll(peer, sent(idevid.key), policy)),
    'wrong-identity',
  );
  assert.equal(await reenroll(sent(idevid.key, { subject })), 'issued');
  assert.equal(await reenroll(sent(testKey(), { subject })), 'issued');
  assert.equal(await reenroll(sent(testKey(), {})), 'subject-mismatch');
  const other = encodeName(['organizationName', 'Test Owner'], ['serialNumber', 'another']);
  assert.equal(await reenroll(sent(testKey(), { subject: other })), 'subject-mismatch');
  const names = [ext.subjectAltName([{ kind: 'dNSName', text: 'localhost' }])];
  assert.equal(await reenroll(sent(testKey(), { subject, extensions: names })), 'subject-mismatch');
  const usage = [ext.keyUsage('digitalSignature')];
  assert.equal(await reenroll(sent(testKey(), { subject, extensions: usage })), 'issued');
  await house.store.revokeDevices([deviceId], 'lost', 0);
  assert.equal(await reenroll(sent(testKey(), { subject })), 'revoked');
});

test('an authority that wants time, says no, or certifies something else', async () => {
  const house = testEnrolment();
  const { enrolment, policy, authority } = house;
  const { deviceId, idevid } = await house.born(1);
  const peer = await house.peer(idevid);
  const enroll = (): Promise<EnrolmentOutcome> =>
    enrolment.simpleEnroll(peer, sent(idevid.key), policy);
  authority.answer = () => Promise.resolve({ retryAfterS: 60 });
  assert.deepEqual(await enroll(), { retryAfterS: 60 });
  authority.answer = () => Promise.resolve(refuse('rejected', 'not P-256'));
  assert.equal(code(await enroll()), 'rejected');
  const foreign = house.pki.ldevid(deviceId).certificate.der;
  authority.answer = () => Promise.resolve({ certificate: foreign, beside: [] });
  await assert.rejects(enroll(), InvariantError);
  // Revoked between the authority's answer and the entry: the certificate is never handed out.
  authority.answer = async (request) => {
    await house.store.revokeDevices([deviceId], 'lost', 0);
    return { certificate: authority.certify(request), beside: [] };
  };
  assert.equal(code(await enroll()), 'revoked');
});

test('one request of a device at a time', async () => {
  const house = testEnrolment();
  const { enrolment, policy, authority } = house;
  const { idevid } = await house.born(1);
  const peer = await house.peer(idevid);
  const gate = Promise.withResolvers<void>();
  authority.answer = async (request) => {
    await gate.promise;
    return { certificate: authority.certify(request), beside: [] };
  };
  const settled: EnrolmentOutcome[] = [];
  // Whichever proof is checked first goes to the authority, and waits there for the others.
  const ask = async (): Promise<void> => {
    settled.push(await enrolment.simpleEnroll(peer, sent(idevid.key), policy));
    if (settled.length === 4) gate.resolve();
  };
  await Promise.all(Array.from({ length: 5 }, ask));
  assert.deepEqual(
    settled.slice(0, 4),
    Array.from({ length: 4 }, () => ({ retryAfterS: 2 })),
  );
  assert.deepEqual(settled.slice(4).map(code), ['issued']);
  assert.equal(authority.requests.length, 1);
  authority.answer = () => Promise.reject(new Error('gone'));
  await assert.rejects(enrolment.simpleEnroll(peer, sent(idevid.key), policy), /gone/);
  authority.answer = undefined;
  assert.equal(code(await enrolment.simpleEnroll(peer, sent(idevid.key), policy)), 'issued');
});

test('RFC 6402 §2.8: other names on request are refused', async () => {
  const house = testEnrolment();
  const { idevid } = await house.born(1);
  const enrolled = await house.enrolment.simpleEnroll(
    await house.peer(idevid),
    sent(idevid.key),
    house.policy,
  );
  assert.ok('certificate' in enrolled);
  const current = parseCertificate(enrolled.certificate);
  const request = parseCertificationRequest(
    testRequest(idevid.key, { subject: current.subject.der }),
  );
  assert.equal(subjectMismatch(request, current), undefined);
  const attributes = [{ type: '1.3.6.1.5.5.7.7.36', values: [nullElement] }];
  assert.equal(subjectMismatch({ ...request, attributes }, current)?.refused, 'subject-mismatch');
});

test('RFC 8951 §4: CSR attributes byte for byte, and ours', () => {
  const example = encodeCsrAttributes([
    { oid: '1.2.840.113549.1.9.7' },
    { type: '1.2.840.10045.2.1', values: ['1.3.132.0.34'] },
    { type: '1.2.840.113549.1.9.14', values: ['1.3.6.1.1.1.1.22'] },
    { oid: '1.2.840.10045.4.3.3' },
  ]);
  assert.deepEqual(
    example,
    parseBase64(
      'MEEGCSqGSIb3DQEJBzASBgcqhkjOPQIBMQcGBSuBBAAiMBYGCSqGSIb3DQEJDjEJBgcrBgEBAQEWBggqhkjOPQQDAw==',
    ),
  );
  const { policy } = testEnrolment();
  const password = '06092a864886f70d010907';
  assert.ok(!toHex(csrAttributesOf(policy)).includes(password));
  assert.ok(toHex(csrAttributesOf({ ...policy, popLinking: 'required' })).includes(password));
});

test('RFC 8951 §4: the example read, and a template of RFC 9908 §3.4', () => {
  const example = parseBase64(
    'MEEGCSqGSIb3DQEJBzASBgcqhkjOPQIBMQcGBSuBBAAiMBYGCSqGSIb3DQEJDjEJBgcrBgEBAQEWBggqhkjOPQQDAw==',
  );
  assert.deepEqual(decodeCsrAttributes(example ?? new Uint8Array()), [
    { oid: '1.2.840.113549.1.9.7' },
    { type: '1.2.840.10045.2.1', values: [fromHex('06052b81040022')] },
    { type: '1.2.840.113549.1.9.14', values: [fromHex('06072b060101010116')] },
    { oid: '1.2.840.10045.4.3.3' },
  ]);
  const subject = [{ type: '2.5.4.10', value: 'Owner' }, { type: '2.5.4.5' }];
  const key = { algorithm: '1.2.840.10045.2.1', curve: '1.2.840.10045.3.1.7' };
  const encoded = encodeCsrAttributes([{ template: { subject, key } }]);
  // Written by hand after the module of RFC 9908: implicit tags, [0] in place of the key's SEQUENCE.
  const byHand = [
    '304a 3048 060b2a864886f70d010910023d 3139 3037 020100',
    '3019 310e300c060355040a0c054f776e6572 310730050603550405',
    'a015 3013 06072a8648ce3d0201 06082a8648ce3d030107 a100',
  ];
  assert.equal(toHex(encoded), byHand.join('').replaceAll(' ', ''));
  const [read] = decodeCsrAttributes(encoded);
  assert.ok(read !== undefined && 'template' in read);
  assert.deepEqual(read.template.subject, [
    { type: '2.5.4.10', value: fromHex('0c054f776e6572') },
    { type: '2.5.4.5', value: undefined },
  ]);
  assert.equal(read.template.key?.algorithm, key.algorithm);
  assert.equal(read.template.key?.publicKey, undefined);
});
