/** What travels in EAD: evidence bound to its handshake, and vouchers. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nodeCrypto } from '../../../../src/drivers/keys/software/nodeCrypto.ts';
import { concat, empty } from '../../../../src/wire/bytes/bytes.ts';
import { fromHex, toHex } from '../../../../src/wire/bytes/hex.ts';
import { MalformedError } from '../../../../src/wire/bytes/malformed.ts';
import * as cbor from '../../../../src/wire/cbor/writer.ts';
import { sigStructure } from '../../../../src/wire/cose/sign1.ts';
import * as attestation from '../../../../src/wire/edhoc/attestation.ts';
import { startInitiator } from '../../../../src/wire/edhoc/initiator.ts';
import { readMessage1 } from '../../../../src/wire/edhoc/responder.ts';
import { suiteOf } from '../../../../src/wire/edhoc/suites.ts';
import * as voucher from '../../../../src/wire/edhoc/voucher.ts';
import { act, granted, makeParty, partyFor, signWith } from '../../../support/edhoc.ts';

const algorithms = { crypto: nodeCrypto, suite: suiteOf(2) };
const codePoints = { backgroundCheckLabel: 41, triggerLabel: 42, exporterLabel: 2 };
const voucherPoints = { voucherInfoLabel: 51, voucherLabel: 52, accessDeniedCode: 53 };

// draft-ietf-lake-ra-05, Appendix "Example: Device Onboarding".
const payload =
  'a30a48a29f62a4c6cdaae519010047616161626263631901118182190102a5004574616749440c00016f446f74426f74206669726d7761726502a2181f68417474657374657218210103a11181a218187819706172746974696f6e302d6e72663532383430646b2e62696e078201582006294f6806b9c685eea795048579cfd02a0c025bc8b5abca42a19ea0ec23e81a';
const signature =
  'd4100901f4c3e51312c3110c6ddc8dcf7f68d8f5d3791c19133f2f0ac158c1f5ee6edafe9d7c3d6eb3d2d197f82e733d375fdda9fb258b304961dfc38558950d';
const evidenceHex = `d28443a10127a05890${payload}5840${signature}`;

test('lake-ra: the evidence of the draft is read, and its claims are written the same way', () => {
  const { sign1, claims } = attestation.parseEvidence(fromHex(evidenceHex));
  assert.equal(sign1.protectedHeaders.algorithm, -8);
  assert.equal(toHex(claims.nonce), 'a29f62a4c6cdaae5');
  assert.equal(toHex(claims.ueid), toHex(new TextEncoder().encode('aaabbcc')));
  assert.equal(claims.measurements[0]?.contentFormat, 258);
  assert.equal(toHex(attestation.encodeClaims(claims)), payload);
});

test('lake-ra: the binder is the external_aad of the signature', () => {
  const { claims } = attestation.parseEvidence(fromHex(evidenceHex));
  const binder = fromHex('7b4c94f32a0e6db86d915a444f76525fc32912b2e07dd481a96f627ee98a110c');
  const prepared = attestation.prepareEvidence(claims, 'EdDSA', binder);
  assert.deepEqual(prepared.toBeSigned, sigStructure(fromHex('a10127'), binder, fromHex(payload)));
  assert.equal(toHex(prepared.finish(fromHex(signature))), evidenceHex);
});

test('lake-ra: proposal and request', () => {
  assert.equal(toHex(attestation.encodeProposal([60, 61, 258])), '183c183d190102');
  assert.deepEqual(attestation.parseProposal(fromHex('183c183d190102')), [60, 61, 258]);
  const request = { contentFormat: 258, nonce: fromHex('a29f62a4c6cdaae5') };
  assert.equal(toHex(attestation.encodeRequest(request)), '19010248a29f62a4c6cdaae5');
  assert.deepEqual(attestation.parseRequest(fromHex('19010248a29f62a4c6cdaae5')), request);
  for (const wrong of ['', '20', '1a00010000', '3c'.repeat(3), '00'.repeat(17)]) {
    assert.throws(() => attestation.parseProposal(fromHex(wrong)), MalformedError);
  }
  for (const wrong of ['190102', '19010247a29f62a4c6cdaa', '0048000000000000000000']) {
    assert.throws(() => attestation.parseRequest(fromHex(wrong)), MalformedError);
  }
  assert.throws(() => attestation.encodeProposal([]), TypeError);
});

test('lake-ra: evidence in EAD_3 serves the handshake it was made for, and no other', () => {
  const initiator = partyFor(3, 2, 'initiator', fromHex('2b'));
  const responder = partyFor(3, 2, 'responder', fromHex('32'));
  const attester = makeParty('P-256', fromHex('01'), 'attestation key');
  const request = { contentFormat: 258, nonce: nodeCrypto.random(8) };
  const profile = { suites: [2], message4: true, knownEad: [41, 42] };
  const run = (): {
    readonly sent: Uint8Array;
    readonly verified: boolean;
    readonly binder: Uint8Array;
  } => {
    const proposal = attestation.attestationItem(codePoints, attestation.encodeProposal([258]));
    const started = startInitiator(
      nodeCrypto,
      { ...profile, method: 3 },
      { connectionId: fromHex('0e'), ead1: [proposal] },
    );
    const accepted = granted(
      readMessage1(nodeCrypto, { ...profile, methods: [3] }, started.message1),
    );
    assert.deepEqual(attestation.parseProposal(accepted.ead1[0]?.value ?? empty), [258]);
    const ask = attestation.attestationItem(codePoints, attestation.encodeRequest(request));
    const composing = accepted.compose({
      connectionId: fromHex('27'),
      own: responder.credential,
      ead2: [ask],
    });
    const second = act(granted(composing), responder);
    const needed = granted(started.next.readMessage2(second.message2));
    const verified = granted(needed.accept(responder.credential));
    const { nonce } = attestation.parseRequest(verified.ead2[0]?.value ?? empty);
    const { idCred } = initiator.credential;
    const binder = attestation.binderOfMessage3(algorithms, verified.h12, idCred);
    const measurements = [{ contentFormat: 258, content: cbor.bytes(fromHex('aa')) }];
    const evidence = attestation.prepareEvidence(
      { nonce, ueid: new Uint8Array(17), measurements },
      'ES256',
      binder,
    );
    const value = evidence.finish(signWith(attester.privateKey, evidence.toBeSigned));
    const item = attestation.attestationItem(codePoints, value, true);
    const third = act(
      granted(verified.compose({ own: initiator.credential, ead3: [item] })),
      initiator,
    );
    const candidate = granted(second.next.readMessage3(third.message3));
    const theirBinder = attestation.binderOfMessage3(algorithms, candidate.h12, candidate.idCredI);
    const received = attestation.parseEvidence(candidate.ead3[0]?.value ?? empty);
    const key = attester.credential.publicKey;
    const done = granted(candidate.accept(initiator.credential)).finish();
    const binder4 = attestation.binderOfMessage4(done.session, codePoints, 32);
    assert.equal(binder4.length, 32);
    return {
      sent: value,
      verified: attestation.verifyEvidence(nodeCrypto, key, received, theirBinder),
      binder: theirBinder,
    };
  };
  const [one, two] = [run(), run()];
  assert.ok(one.verified && two.verified);
  const relayed = attestation.parseEvidence(one.sent);
  const key = attester.credential.publicKey;
  assert.ok(!attestation.verifyEvidence(nodeCrypto, key, relayed, two.binder));
});

test('lake-ra: claims that are missing or of a wrong length are refused', () => {
  const claims = {
    nonce: new Uint8Array(8),
    ueid: new Uint8Array(7),
    measurements: [{ contentFormat: 258, content: cbor.integer(1) }],
  };
  const encoded = attestation.encodeClaims(claims);
  assert.deepEqual(attestation.parseClaims(encoded), claims);
  for (const change of [{ nonce: new Uint8Array(7) }, { ueid: new Uint8Array(34) }]) {
    assert.throws(() => attestation.encodeClaims({ ...claims, ...change }), TypeError);
  }
  for (const wrong of ['a0', 'a10a480000000000000000', 'a10a40', 'a119010046000000000000']) {
    assert.throws(() => attestation.parseClaims(fromHex(wrong)), MalformedError);
  }
  const many = (count: number): Uint8Array =>
    attestation.encodeClaims({
      ...claims,
      measurements: Array.from({ length: count }, () => ({
        contentFormat: 258,
        content: cbor.integer(1),
      })),
    });
  assert.equal(attestation.parseClaims(many(32)).measurements.length, 32);
  for (const count of [0, 33]) {
    assert.throws(() => attestation.parseClaims(many(count)), MalformedError);
  }
  assert.throws(() => attestation.parseEvidence(fromHex('8443a10127a0f640')), MalformedError);
});

test('ELA: voucher info, request and response', () => {
  const info = { locationOfW: 'w.example', ephemeralKey: new Uint8Array(32).fill(7) };
  const item = voucher.voucherInfoItem(voucherPoints, info);
  const { value } = item;
  assert.ok(item.critical && item.label === 51 && value !== undefined);
  assert.equal(toHex(value), `69772e6578616d706c655820${'07'.repeat(32)}`);
  assert.deepEqual(voucher.parseVoucherInfo(value), info);
  const request = {
    suite: 2,
    ephemeralKey: info.ephemeralKey,
    h12: new Uint8Array(32),
    idCredI: fromHex('a104412b'),
    fetchCredU: true,
  };
  const encoded = voucher.encodeVoucherRequest(request);
  assert.deepEqual(voucher.parseVoucherRequest(encoded), request);
  const one = fromHex('aa');
  const two = fromHex('bb');
  for (const response of [{}, { voucher: one }, { voucher: one, credU: two }]) {
    const bytes = voucher.encodeVoucherResponse(response);
    assert.deepEqual(voucher.parseVoucherResponse(bytes), response);
  }
  const alone = voucher.encodeVoucherResponse({ credU: two });
  assert.deepEqual(voucher.parseVoucherResponse(alone, { hasVoucher: false }), { credU: two });
  for (const wrong of ['83404040', '8101', '8000']) {
    assert.throws(() => voucher.parseVoucherResponse(fromHex(wrong)), MalformedError);
  }
  assert.throws(() => voucher.parseVoucherRequest(encoded.subarray(1)), MalformedError);
  assert.throws(() => voucher.parseVoucherInfo(concat(value, fromHex('00'))), MalformedError);
});

test('ELA: a voucher is for one handshake, one device, one authenticator', () => {
  const device = nodeCrypto.generateKeyPair('P-256');
  const server = nodeCrypto.generateKeyPair('P-256');
  const agreed = (own: typeof device, peer: typeof device): Uint8Array => {
    const key = nodeCrypto.importPublicKey('P-256', peer.publicKey);
    assert.ok(key);
    return nodeCrypto.agree(own, key) ?? assert.fail();
  };
  const binding = {
    h12: new Uint8Array(32).fill(1),
    idCredI: fromHex('a104412b'),
    credV: partyFor(3, 2, 'responder', fromHex('32')).credential.cred,
  };
  const atW = agreed(server, device);
  const atU = agreed(device, server);
  const sealed = voucher.sealVoucher(algorithms, atW, binding, fromHex('c0ffee'));
  const open = (change: Partial<typeof binding>, bytes = sealed): unknown =>
    voucher.openVoucher(algorithms, atU, { ...binding, ...change }, bytes);
  assert.deepEqual(open({}), { opaqueInfo: fromHex('c0ffee') });
  assert.equal(open({ h12: new Uint8Array(32) }), undefined);
  assert.equal(open({ idCredI: fromHex('a104412c') }), undefined);
  assert.equal(open({ credV: fromHex('a0') }), undefined);
  assert.equal(
    open(
      {},
      sealed.map((byte, index) => (index === 0 ? byte ^ 1 : byte)),
    ),
    undefined,
  );
  const bare = voucher.sealVoucher(algorithms, atW, binding);
  assert.equal(bare.length, 8);
  assert.deepEqual(open({}, bare), { opaqueInfo: undefined });
  assert.deepEqual(voucher.voucherItem(voucherPoints, bare), {
    label: 52,
    critical: true,
    value: bare,
  });
});

test('ELA: access denied, with what only the device can read', () => {
  const secret = new Uint8Array(32).fill(5);
  const h12 = new Uint8Array(32).fill(1);
  const info = voucher.sealRejectInfo(algorithms, secret, h12, fromHex('3963c9d05c62'));
  const message = voucher.encodeAccessDenied(voucherPoints, info);
  const read = voucher.parseAccessDenied(voucherPoints, message);
  assert.deepEqual(read, { rejectType: 1, rejectInfo: info });
  const opened = voucher.openRejectInfo(algorithms, secret, h12, info);
  assert.deepEqual(opened, fromHex('3963c9d05c62'));
  assert.equal(voucher.openRejectInfo(algorithms, secret, new Uint8Array(32), info), undefined);
  const bare = voucher.encodeAccessDenied(voucherPoints);
  assert.deepEqual(voucher.parseAccessDenied(voucherPoints, bare), { rejectType: 0 });
  assert.equal(voucher.parseAccessDenied(voucherPoints, fromHex('0202')), undefined);
  assert.equal(voucher.parseAccessDenied(voucherPoints, fromHex('4100')), undefined);
  const trailing = concat(message, fromHex('00'));
  assert.throws(() => voucher.parseAccessDenied(voucherPoints, trailing), MalformedError);
});
