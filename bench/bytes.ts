/**
 * Bytes on air: what our handshakes, records and certificates have, made here, beside what is published for
 * DTLS 1.3 and TLS 1.3 (draft-ietf-iotops-security-protocol-comparison-07; identifiers of one byte, tags of
 * eight, no lower layers).
 */
import { generateKeyPairSync, sign } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { nodeCrypto } from '../src/drivers/keys/software/nodeCrypto.ts';
import { decompressPoint } from '../src/drivers/keys/software/points.ts';
import { empty } from '../src/wire/bytes/bytes.ts';
import { fromHex } from '../src/wire/bytes/hex.ts';
import { c509FromX509 } from '../src/wire/c509/convert.ts';
import * as cbor from '../src/wire/cbor/writer.ts';
import { methods, responses } from '../src/wire/coap/codes.ts';
import { type CoapMessage, encodeMessage } from '../src/wire/coap/message.ts';
import { uriPath } from '../src/wire/coap/options.ts';
import { buildCcs } from '../src/wire/cose/ccs.ts';
import { ec2KeyOfPoint } from '../src/wire/cose/key.ts';
import { fixedSignature } from '../src/wire/der/ecdsa.ts';
import type { OwnCredential } from '../src/wire/edhoc/credential.ts';
import { kidIdCred } from '../src/wire/edhoc/idCred.ts';
import { startInitiator } from '../src/wire/edhoc/initiator.ts';
import type { AgreementNeeded, SignatureNeeded } from '../src/wire/edhoc/proof.ts';
import { type PskCredential, resumptionCredential } from '../src/wire/edhoc/psk.ts';
import { startPskInitiator } from '../src/wire/edhoc/pskInitiator.ts';
import { readPskMessage1 } from '../src/wire/edhoc/pskResponder.ts';
import { readMessage1 } from '../src/wire/edhoc/responder.ts';
import type { EdhocSession } from '../src/wire/edhoc/session.ts';
import type { Method } from '../src/wire/edhoc/suites.ts';
import { protectRequest } from '../src/wire/oscore/client.ts';
import { deriveContext } from '../src/wire/oscore/context.ts';
import type { ContextMaterial } from '../src/wire/oscore/contextUpdate.ts';
import { KudosIdle } from '../src/wire/oscore/kudos.ts';
import { kudosPath } from '../src/wire/oscore/kudosSupport.ts';
import { ReplayWindow } from '../src/wire/oscore/replayWindow.ts';
import { SenderSequence } from '../src/wire/oscore/sequence.ts';
import { protectResponse, unprotectRequest } from '../src/wire/oscore/server.ts';
import { atMost, type BenchResult, type BenchRow, row } from './result.ts';

/** Sums of the published tables, P-256 and ECDSA; resumption is PSK with ECDHE. */
const published: readonly BenchRow[] = [
  row('DTLS 1.3, raw public keys (published)', 894, 'bytes'),
  row('DTLS 1.3, raw public keys, compressed points (published)', 830, 'bytes'),
  row('DTLS 1.3, cached raw public keys (published)', 881, 'bytes'),
  row('DTLS 1.3, cached X.509 (published)', 869, 'bytes'),
  row('DTLS 1.3, PSK with ECDHE (published)', 501, 'bytes'),
  row('DTLS 1.3, PSK alone (published)', 345, 'bytes'),
  row('TLS 1.3, raw public keys (published)', 789, 'bytes'),
  row('TLS 1.3, PSK with ECDHE (published)', 436, 'bytes'),
  row('TLS 1.3, PSK alone (published)', 280, 'bytes'),
];

const publishedRecords: readonly BenchRow[] = [
  row('DTLS 1.3 record (published)', 11, 'bytes'),
  row('DTLS 1.3 record, identifier of one byte (published)', 12, 'bytes'),
  row('TLS 1.3 record (published)', 14, 'bytes'),
];

export function run(): BenchResult {
  const byKid = handshake(3, kidCredential, false);
  const signed = handshake(0, kidCredential, false);
  const external = { ...resumptionCredential(nodeCrypto, byKid.session), idCred: kidIdCred(one) };
  const psk = pskHandshake(external);
  const resumed = pskHandshake(resumptionCredential(nodeCrypto, byKid.session));
  const records = recordOverheads();
  const renewal = kudosRun();
  return {
    rows: [
      ...rowsOf('EDHOC method 3, kid', byKid.sizes),
      ...rowsOf('EDHOC method 3, x5t', handshake(3, thumbprintCredential, false).sizes),
      ...rowsOf('EDHOC method 0, kid', signed.sizes),
      ...rowsOf('EDHOC method 0, x5t', handshake(0, thumbprintCredential, false).sizes),
      ...rowsOf('EDHOC-PSK, kid of one byte', psk),
      ...rowsOf('EDHOC-PSK, resumption', resumed),
      row('EDHOC message_4', handshake(3, kidCredential, true).sizes[3] ?? Number.NaN, 'bytes'),
      row('EDHOC_KeyUpdate', 0, 'bytes'),
      row('KUDOS, CoAP request', renewal.request, 'bytes'),
      row('KUDOS, CoAP response', renewal.response, 'bytes'),
      ...published,
      row('OSCORE request', records.request, 'bytes'),
      row('OSCORE request, identifier of one byte', records.requestWithId, 'bytes'),
      row('OSCORE response', records.response, 'bytes'),
      ...publishedRecords,
      ...certificateRows(),
    ],
    promises: [
      atMost('EDHOC method 3, kid: sum', 101, sum(byKid.sizes)),
      atMost('EDHOC-PSK, resumption: sum', 85, sum(resumed)),
      atMost('OSCORE request', 13, records.request),
      atMost('OSCORE response', 11, records.response),
    ],
  };
}

const one = Uint8Array.of(0x10);
const cI = Uint8Array.of(0x0e);
const cR = Uint8Array.of(0x27);

/** Which credential, and how a message names it. */
type Naming = (point: Uint8Array, kid: number) => Omit<OwnCredential, 'publicKey'>;

function kidCredential(point: Uint8Array, kid: number): Omit<OwnCredential, 'publicKey'> {
  const cred = buildCcs({ subject: `party ${kid}`, key: ec2KeyOfPoint('P-256', point) }).bytes;
  return { idCred: kidIdCred(Uint8Array.of(kid)), cred };
}

/** { 34: [ -15, 8 bytes of SHA-256 ] }; the certificate itself does not travel. */
function thumbprintCredential(point: Uint8Array, kid: number): Omit<OwnCredential, 'publicKey'> {
  const { cred } = kidCredential(point, kid);
  const hash = nodeCrypto.hash('SHA-256', cred).slice(0, 8);
  const value = cbor.array(cbor.integer(-15), cbor.bytes(hash));
  return { idCred: cbor.map([cbor.integer(34), value]), cred };
}

interface Party {
  readonly credential: OwnCredential;
  act<Step>(pause: AgreementNeeded<Step> | SignatureNeeded<Step>): Step;
}

function newParty(naming: Naming, kid: number): Party {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const { d = '' } = privateKey.export({ format: 'jwk' });
  const agreeKey = present(nodeCrypto.importEphemeral('P-256', Buffer.from(d, 'base64url')));
  const point = nodeCrypto.publicPoint(agreeKey);
  const publicKey = present(nodeCrypto.importPublicKey('P-256', point));
  return {
    credential: { ...naming(point, kid), publicKey },
    act: (pause) =>
      pause.kind === 'signature-needed'
        ? pause.finish(fixedSignature(sign('sha256', pause.toBeSigned, privateKey), 32))
        : pause.finish(present(nodeCrypto.agree(agreeKey, pause.peerKey))),
  };
}

function handshake(
  method: Method,
  naming: Naming,
  message4: boolean,
): { readonly sizes: readonly number[]; readonly session: EdhocSession } {
  const initiator = newParty(naming, 0x2b);
  const responder = newParty(naming, 0x32);
  const profile = { suites: [2], message4 };
  const first = startInitiator(nodeCrypto, { ...profile, method }, { connectionId: cI });
  const terms = { ...profile, methods: [method] };
  const accepted = granted(readMessage1(nodeCrypto, terms, first.message1));
  const own = responder.credential;
  const second = responder.act(granted(accepted.compose({ connectionId: cR, own })));
  const read = granted(first.next.readMessage2(second.message2));
  const verified = granted(read.accept(responder.credential));
  const third = initiator.act(granted(verified.compose({ own: initiator.credential })));
  const candidate = granted(second.next.readMessage3(third.message3));
  const done = granted(candidate.accept(initiator.credential)).finish();
  const sizes = [first.message1, second.message2, third.message3].map(({ length }) => length);
  const last = done.message4 === undefined ? [] : [done.message4.length];
  return { sizes: [...sizes, ...last], session: done.session };
}

function pskHandshake(psk: PskCredential): readonly number[] {
  const profile = { suites: [2], message4: false };
  const first = startPskInitiator(nodeCrypto, profile, { connectionId: cI });
  const accepted = granted(readPskMessage1(nodeCrypto, profile, first.message1));
  const second = granted(accepted.compose({ connectionId: cR }));
  const third = granted(first.next.readMessage2(second.message2)).compose({ psk });
  granted(granted(second.next.readMessage3(third.message3)).accept(psk)).finish();
  return [first.message1.length, second.message2.length, third.message3.length];
}

/** Whole CoAP messages without token, nonces of eight bytes, identifiers of one byte. */
function kudosRun(): Readonly<Record<'request' | 'response', number>> {
  const config = { crypto: nodeCrypto, isCapable: true, preserveObservations: false } as const;
  const materialOf = (senderId: Uint8Array, recipientId: Uint8Array): ContextMaterial => ({
    masterSecret: new Uint8Array(16),
    masterSalt: new Uint8Array(8),
    senderId,
    recipientId,
    aead: 'AES-CCM-16-64-128',
    hkdf: 'SHA-256',
  });
  const head = { type: 'CON', messageId: 1, token: empty } as const;
  const path = uriPath(kudosPath);
  const ping: CoapMessage = { ...head, code: methods.post, options: path, payload: empty };
  const device = new KudosIdle({ ...config, peer: 'unknown' }, materialOf(cR, cI)).begin();
  const sent = granted(device.protectRequest(ping));
  const server = new KudosIdle({ ...config, peer: 'unknown' }, materialOf(cI, cR));
  const received = granted(server.receive({ kind: 'request', message: sent.message }));
  const { sequence } = received.next.fresh;
  sequence.confirm(1);
  const pong: CoapMessage = { ...ping, type: 'ACK', code: responses.changed, options: [] };
  const answer = granted(received.next.protectResponse(present(received.exchange), pong));
  return { request: encodeMessage(sent.message).length, response: encodeMessage(answer).length };
}

/** What protection adds to a CoAP message with six bytes of payload and the sequence number 5. */
function recordOverheads(): Readonly<Record<'request' | 'requestWithId' | 'response', number>> {
  const [request, response] = overheadsOf(empty);
  const [requestWithId] = overheadsOf(Uint8Array.of(1));
  return { request, requestWithId, response };
}

function overheadsOf(senderId: Uint8Array): readonly [number, number] {
  const plain: CoapMessage = {
    type: 'NON',
    code: methods.post,
    messageId: 1,
    token: empty,
    options: [],
    payload: new Uint8Array(6),
  };
  const recipientId = Uint8Array.of(2);
  const parameters = { crypto: nodeCrypto, masterSecret: new Uint8Array(16) };
  const client = deriveContext({ ...parameters, senderId, recipientId });
  const server = deriveContext({
    ...parameters,
    senderId: recipientId,
    recipientId: senderId,
  });
  const sequence = new SenderSequence(client, 5);
  sequence.confirm(6);
  const { message } = granted(protectRequest(plain, granted(sequence.take())));
  const accepted = granted(unprotectRequest(server, ReplayWindow.empty(), message));
  const answer = { ...plain, code: responses.changed };
  const protectedAnswer = granted(protectResponse(accepted.exchange, answer));
  const length = encodeMessage(plain).length;
  return [encodeMessage(message).length - length, encodeMessage(protectedAnswer).length - length];
}

function certificateRows(): readonly BenchRow[] {
  const file = new URL('../test/vectors/c509/certificates.json', import.meta.url);
  const vectors = JSON.parse(readFileSync(file, 'utf8')) as Record<string, { x509?: string }>;
  return [
    ['RFC 7925', 'rfc7925'],
    ['IEEE 802.1AR', 'ieee802.1ar'],
  ].flatMap(([label = '', key = '']) => {
    const x509 = fromHex(vectors[key]?.x509 ?? '');
    const c509 = granted(c509FromX509(x509, decompressPoint));
    return [
      row(`certificate of ${label} as X.509`, x509.length, 'bytes'),
      row(`certificate of ${label} as C509`, c509.length, 'bytes'),
    ];
  });
}

function rowsOf(name: string, sizes: readonly number[]): readonly BenchRow[] {
  const messages = sizes.map((size, index) => row(`${name}: message_${index + 1}`, size, 'bytes'));
  return [...messages, row(`${name}: sum`, sum(sizes), 'bytes')];
}

function sum(sizes: readonly number[]): number {
  return sizes.reduce((total, size) => total + size, 0);
}

function granted<Value extends object>(
  outcome: Value,
): Exclude<Value, { readonly refused: string }> {
  if ('refused' in outcome) throw new Error(`refused: ${String(outcome.refused)}`);
  return outcome as Exclude<Value, { readonly refused: string }>;
}

function present<Value>(value: Value | undefined): Value {
  if (value === undefined) throw new Error('keys that were made here are good');
  return value;
}
