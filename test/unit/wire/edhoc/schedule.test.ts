/** Every value of the traces of RFC 9529 §2 and §3, computed from keys and credentials alone. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nodeCrypto } from '../../../../src/drivers/keys/software/nodeCrypto.ts';
import { concat, empty } from '../../../../src/wire/bytes/bytes.ts';
import { fromHex, toHex } from '../../../../src/wire/bytes/hex.ts';
import * as cbor from '../../../../src/wire/cbor/writer.ts';
import { aeadAlgorithmNumbers } from '../../../../src/wire/cose/algorithms.ts';
import { encodeIdentifier } from '../../../../src/wire/edhoc/identifiers.ts';
import * as messages from '../../../../src/wire/edhoc/messages.ts';
import { encodeError } from '../../../../src/wire/edhoc/refusal.ts';
import * as schedule from '../../../../src/wire/edhoc/schedule.ts';
import { suiteOf } from '../../../../src/wire/edhoc/suites.ts';
import {
  importPrivate,
  loadVectors,
  signWith,
  vector,
  type VectorRow,
} from '../../../support/edhoc.ts';

interface Trace {
  readonly rows: readonly VectorRow[];
  readonly number: number;
  readonly method: number;
  readonly suites: readonly number[];
  readonly message1: string;
}

const traces: readonly Trace[] = [
  {
    rows: loadVectors('rfc9529', 'trace1'),
    number: 1,
    method: 0,
    suites: [0],
    message1: 'message_1',
  },
  {
    rows: loadVectors('rfc9529', 'trace2'),
    number: 2,
    method: 3,
    suites: [6, 2],
    message1: 'message_1 (second time)',
  },
];

for (const trace of traces) {
  const computed = compute(trace);
  let compared = 0;
  for (const row of trace.rows) {
    // What only trace 2 has twice, with other keys: the message_1 that is refused.
    if (row.section === 'message_1 (first time)') continue;
    const form = row.form === '' ? '' : ` (${row.form})`;
    test(`trace ${trace.number}, ${row.section}: ${row.name}${form}`, () => {
      const value = computed.get(`${row.section}|${row.name}|${row.form}`);
      assert.ok(value, 'nothing computes this value');
      assert.equal(toHex(value), row.hex);
    });
    compared += 1;
  }
  assert.ok(compared > 90);
}

test('trace 2: the message_1 that is refused, and the error', () => {
  const { rows } = traces[1] ?? assert.fail();
  const first = 'message_1 (first time)';
  const x = importPrivate('P-256', vector(rows, first, 'X'));
  assert.deepEqual(x.publicKey, vector(rows, first, 'G_X', 'Raw Value'));
  const message1 = messages.encodeMessage1({
    method: 3,
    suites: [6],
    gX: x.publicKey,
    cI: vector(rows, first, 'C_I', 'Raw Value'),
    ead1: empty,
  });
  assert.deepEqual(message1, vector(rows, first, 'message_1'));
  assert.deepEqual(encodeError({ code: 2, suitesR: [2] }), vector(rows, 'error', 'error'));
});

/** Keys are `section|name|form`; a value of a form that follows from another is put in with it. */
function compute(trace: Trace): ReadonlyMap<string, Uint8Array> {
  const { rows } = trace;
  const values = new Map<string, Uint8Array>();
  const put = (section: string, name: string, form: string, value: Uint8Array): void => {
    values.set(`${section}|${name}|${form}`, value);
  };
  const raw = (section: string, name: string, value: Uint8Array): void => {
    put(section, name, 'Raw Value', value);
    put(section, name, 'CBOR Data Item', cbor.bytes(value));
  };
  const info = (section: string, name: string, ...fields: Parameters<typeof schedule.info>): void =>
    put(section, `info for ${name}`, 'CBOR Sequence', schedule.info(...fields));

  const suite = suiteOf(trace.suites.at(-1) ?? 0);
  const algorithms = { crypto: nodeCrypto, suite };
  const staticDh = trace.method === 3;
  const second = 'message_2';
  const third = 'message_3';
  const fourth = 'message_4';

  // Inputs: private keys, identifiers, credentials.
  const x = importPrivate(suite.curve, vector(rows, trace.message1, 'X'));
  const y = importPrivate(suite.curve, vector(rows, second, 'Y'));
  const authCurve = staticDh ? suite.curve : suite.signatureCurve;
  const skR = importPrivate(authCurve, vector(rows, second, 'SK_R'));
  const skI = importPrivate(authCurve, vector(rows, third, 'SK_I'));
  const cI = vector(rows, trace.message1, 'C_I', 'Raw Value');
  const cR = vector(rows, second, 'C_R', 'Raw Value');
  const idCredR = vector(rows, second, 'ID_CRED_R');
  const idCredI = vector(rows, third, 'ID_CRED_I');
  const credR = vector(rows, second, 'CRED_R', 'CBOR Data Item');
  const credI = vector(rows, third, 'CRED_I', 'CBOR Data Item');
  put(trace.message1, 'X', 'Raw Value', nodeCrypto.exportEphemeral(x));
  put(second, 'Y', 'Raw Value', nodeCrypto.exportEphemeral(y));
  put(second, 'SK_R', 'Raw Value', nodeCrypto.exportEphemeral(skR));
  put(third, 'SK_I', 'Raw Value', nodeCrypto.exportEphemeral(skI));
  put(second, 'PK_R', 'Raw Value', skR.publicKey);
  put(third, 'PK_I', 'Raw Value', skI.publicKey);
  put(second, "Responder's public authentication key, 'x'-coordinate", 'Raw Value', skR.publicKey);
  put(third, "Initiator's public authentication key, 'x'-coordinate", 'Raw Value', skI.publicKey);
  for (const [section, name] of [
    [trace.message1, "Initiator's ephemeral public key, one 'y'-coordinate"],
    [second, "Responder's ephemeral public key, one 'y'-coordinate"],
    [second, "Responder's public authentication key, 'y'-coordinate"],
    [third, "Initiator's public authentication key, 'y'-coordinate"],
  ] as const) {
    checkedY(trace, section, name, { x, y, skR, skI }, put);
  }
  put(second, 'ID_CRED_R', 'CBOR Data Item', idCredR);
  put(third, 'ID_CRED_I', 'CBOR Data Item', idCredI);
  put(second, 'CRED_R', 'CBOR Data Item', credR);
  put(third, 'CRED_I', 'CBOR Data Item', credI);
  // A DER certificate goes in as a byte string: two bytes of head at this length.
  put(second, 'CRED_R', 'Raw Value', credR.subarray(2));
  put(third, 'CRED_I', 'Raw Value', credI.subarray(2));
  for (const [section, name] of [
    [trace.message1, 'EAD_1'],
    [second, 'EAD_2'],
    [third, 'EAD_3'],
    [fourth, 'EAD_4'],
    [fourth, 'PLAINTEXT_4'],
  ] as const) {
    put(section, name, 'CBOR Sequence', empty);
  }

  // message_1
  put(trace.message1, 'METHOD', 'CBOR Data Item', cbor.integer(trace.method));
  put(trace.message1, 'SUITES_I', 'CBOR Data Item', messages.encodeSuites(trace.suites));
  raw(trace.message1, 'G_X', x.publicKey);
  put(trace.message1, 'C_I', 'Raw Value', cI);
  put(trace.message1, 'C_I', 'CBOR Data Item', encodeIdentifier(cI));
  const message1 = messages.encodeMessage1({
    method: trace.method,
    suites: trace.suites,
    gX: x.publicKey,
    cI,
    ead1: empty,
  });
  put(trace.message1, 'message_1', 'CBOR Sequence', message1);
  put('error', 'SUITES_R', '', messages.encodeSuites([2]));
  put('error', 'error', 'CBOR Sequence', encodeError({ code: 2, suitesR: [2] }));

  // message_2
  raw(second, 'G_Y', y.publicKey);
  put(second, 'C_R', 'Raw Value', cR);
  put(second, 'C_R', 'CBOR Data Item', encodeIdentifier(cR));
  const hashOfMessage1 = schedule.hashOfMessage1(algorithms, message1);
  raw(second, 'H(message_1)', hashOfMessage1);
  const inputTh2 = cbor.sequence(cbor.bytes(y.publicKey), cbor.bytes(hashOfMessage1));
  put(second, 'Input to calculate TH_2', 'CBOR Sequence', inputTh2);
  const th2 = schedule.th2(algorithms, y.publicKey, hashOfMessage1);
  raw(second, 'TH_2', th2);
  put(second, 'salt', 'Raw Value', th2);
  const gXY = agreed(x, y.publicKey);
  assert.deepEqual(agreed(y, x.publicKey), gXY);
  put(second, 'G_XY', 'Raw Value', gXY);
  const prk2e = schedule.prk2e(algorithms, th2, gXY);
  put(second, 'PRK_2e', 'Raw Value', nodeCrypto.exportSecret(prk2e));
  let prk3e2m = prk2e;
  if (staticDh) {
    info(second, 'SALT_3e2m', 1, th2, 32);
    const salt3e2m = schedule.salt3e2m(algorithms, prk2e, th2);
    put(second, 'SALT_3e2m', 'Raw Value', salt3e2m);
    const gRX = agreed(x, skR.publicKey);
    put(second, 'G_RX', 'Raw Value', gRX);
    prk3e2m = schedule.prk3e2m(algorithms, salt3e2m, gRX);
  }
  put(second, 'PRK_3e2m', 'Raw Value', nodeCrypto.exportSecret(prk3e2m));
  const context2 = schedule.context2({ cR, idCredR, th2, credR, ead2: empty });
  put(second, 'context_2', 'CBOR Sequence', context2);
  put(second, 'context_2', 'CBOR byte string', cbor.bytes(context2));
  const macBytes = staticDh ? suite.macBytes : 32;
  info(second, 'MAC_2', 2, context2, macBytes);
  const mac2 = schedule.mac2(algorithms, prk3e2m, context2, macBytes);
  raw(second, 'MAC_2', mac2);
  let signatureOrMac2 = mac2;
  if (!staticDh) {
    const fields = { idCred: idCredR, th: th2, cred: credR, ead: empty, mac: mac2 };
    const toBeSigned = schedule.toBeSigned(fields);
    put(second, 'Message to be signed 2', 'CBOR Data Item', toBeSigned);
    signatureOrMac2 = signWith(skR, toBeSigned);
  }
  raw(second, 'Signature_or_MAC_2', signatureOrMac2);
  const plaintext2 = messages.encodePlaintext2({ cR, idCredR, signatureOrMac2, ead2: empty });
  put(second, 'PLAINTEXT_2', 'CBOR Sequence', plaintext2);
  info(second, 'KEYSTREAM_2', 0, th2, plaintext2.length);
  const keystream2 = schedule.keystream2(algorithms, prk2e, th2, plaintext2.length);
  put(second, 'KEYSTREAM_2', 'Raw Value', keystream2);
  const ciphertext2 = schedule.xor(plaintext2, keystream2);
  put(second, 'CIPHERTEXT_2', 'Raw Value', ciphertext2);
  put(second, 'message_2', 'CBOR Sequence', messages.encodeMessage2(y.publicKey, ciphertext2));

  // message_3
  put(
    third,
    'Input to calculate TH_3',
    'CBOR Sequence',
    cbor.sequence(cbor.bytes(th2), plaintext2, credR),
  );
  const th3 = schedule.th3(algorithms, th2, plaintext2, credR);
  raw(third, 'TH_3', th3);
  let prk4e3m = prk3e2m;
  if (staticDh) {
    info(third, 'SALT_4e3m', 5, th3, 32);
    const salt4e3m = schedule.salt4e3m(algorithms, prk3e2m, th3);
    put(third, 'SALT_4e3m', 'Raw Value', salt4e3m);
    const gIY = agreed(y, skI.publicKey);
    put(third, 'G_IY', 'Raw Value', gIY);
    prk4e3m = schedule.prk4e3m(algorithms, salt4e3m, gIY);
  }
  put(third, 'PRK_4e3m', 'Raw Value', nodeCrypto.exportSecret(prk4e3m));
  const context3 = schedule.context3({ idCredI, th3, credI, ead3: empty });
  put(third, 'context_3', 'CBOR Sequence', context3);
  put(third, 'context_3', 'CBOR byte string', cbor.bytes(context3));
  info(third, 'MAC_3', 6, context3, macBytes);
  const mac3 = schedule.mac3(algorithms, prk4e3m, context3, macBytes);
  raw(third, 'MAC_3', mac3);
  let signatureOrMac3 = mac3;
  if (!staticDh) {
    const fields = { idCred: idCredI, th: th3, cred: credI, ead: empty, mac: mac3 };
    const toBeSigned = schedule.toBeSigned(fields);
    put(third, 'Message to be signed 3', 'CBOR Data Item', toBeSigned);
    signatureOrMac3 = signWith(skI, toBeSigned);
  }
  raw(third, 'Signature_or_MAC_3', signatureOrMac3);
  const plaintext3 = messages.encodePlaintext3({ idCredI, signatureOrMac3, ead3: empty });
  put(third, 'PLAINTEXT_3', 'CBOR Sequence', plaintext3);
  const a3 = schedule.additionalData(th3);
  put(third, 'A_3', 'CBOR Data Item', a3);
  info(third, 'K_3', 3, th3, 16);
  const k3 = schedule.k3(algorithms, prk3e2m, th3);
  put(third, 'K_3', 'Raw Value', k3);
  info(third, 'IV_3', 4, th3, 13);
  const iv3 = schedule.iv3(algorithms, prk3e2m, th3);
  put(third, 'IV_3', 'Raw Value', iv3);
  const ciphertext3 = nodeCrypto.seal(nodeCrypto.aeadKey(suite.aead, k3), iv3, a3, plaintext3);
  put(third, 'CIPHERTEXT_3', 'Raw Value', ciphertext3);
  put(third, 'message_3', 'CBOR Sequence', messages.encodeCiphertext(ciphertext3));
  put(
    third,
    'Input to calculate TH_4',
    'CBOR Sequence',
    cbor.sequence(cbor.bytes(th3), plaintext3, credI),
  );
  const th4 = schedule.th4(algorithms, th3, plaintext3, credI);
  raw(third, 'TH_4', th4);

  // message_4
  const a4 = schedule.additionalData(th4);
  put(fourth, 'A_4', 'CBOR Data Item', a4);
  info(fourth, 'K_4', 8, th4, 16);
  const k4 = schedule.k4(algorithms, prk4e3m, th4);
  put(fourth, 'K_4', 'Raw Value', k4);
  info(fourth, 'IV_4', 9, th4, 13);
  const iv4 = schedule.iv4(algorithms, prk4e3m, th4);
  put(fourth, 'IV_4', 'Raw Value', iv4);
  const ciphertext4 = nodeCrypto.seal(nodeCrypto.aeadKey(suite.aead, k4), iv4, a4, empty);
  put(fourth, 'CIPHERTEXT_4', '', ciphertext4);
  put(fourth, 'message_4', 'CBOR Sequence', messages.encodeCiphertext(ciphertext4));

  // Exported keys
  const exporting = 'PRK_out and PRK_exporter';
  const oscore = 'OSCORE Parameters';
  const update = 'Key Update';
  info(exporting, 'PRK_out', 7, th4, 32);
  const prkOut = schedule.prkOut(algorithms, prk4e3m, th4);
  put(exporting, 'PRK_out', 'Raw Value', nodeCrypto.exportSecret(prkOut));
  info(exporting, 'PRK_exporter', 10, empty, 32);
  const prkExporter = schedule.prkExporter(algorithms, prkOut);
  put(exporting, 'PRK_exporter', 'Raw Value', nodeCrypto.exportSecret(prkExporter));
  // Printed as the decimal number of the COSE registry.
  const aead = aeadAlgorithmNumbers[suite.applicationAead];
  put(oscore, 'Application AEAD Algorithm', '', fromHex(String(aead)));
  put(oscore, "Client's OSCORE Sender ID", 'Raw Value', cR);
  put(oscore, "Server's OSCORE Sender ID", 'Raw Value', cI);
  info(oscore, 'OSCORE Master Secret', 0, empty, 16);
  info(oscore, 'OSCORE Master Salt', 1, empty, 8);
  const exported = (prk: typeof prkOut, label: number, length: number): Uint8Array =>
    schedule.kdf(algorithms, prk, label, empty, length);
  put(oscore, 'OSCORE Master Secret', 'Raw Value', exported(prkExporter, 0, 16));
  put(oscore, 'OSCORE Master Salt', 'Raw Value', exported(prkExporter, 1, 8));
  const context = vector(rows, update, 'context for KeyUpdate', 'Raw Value');
  raw(update, 'context for KeyUpdate', context);
  const newPrkOut = schedule.updatedPrkOut(algorithms, prkOut, context);
  put(update, 'PRK_out after KeyUpdate', 'Raw Value', nodeCrypto.exportSecret(newPrkOut));
  const newExporter = schedule.prkExporter(algorithms, newPrkOut);
  put(update, 'PRK_exporter after KeyUpdate', 'Raw Value', nodeCrypto.exportSecret(newExporter));
  put(update, 'OSCORE Master Secret after KeyUpdate', 'Raw Value', exported(newExporter, 0, 16));
  put(update, 'OSCORE Master Salt after KeyUpdate', 'Raw Value', exported(newExporter, 1, 8));
  return values;
}

function agreed(privateKey: ReturnType<typeof importPrivate>, publicKey: Uint8Array): Uint8Array {
  const imported = nodeCrypto.importPublicKey(privateKey.curve, publicKey);
  assert.ok(imported);
  return nodeCrypto.agree(privateKey, imported) ?? assert.fail();
}

/** The printed y belongs to its x: the point with both is on the curve, and the next y is not. */
function checkedY(
  trace: Trace,
  section: string,
  name: string,
  keys: Readonly<Record<'x' | 'y' | 'skR' | 'skI', ReturnType<typeof importPrivate>>>,
  put: (section: string, name: string, form: string, value: Uint8Array) => void,
): void {
  const row = trace.rows.find(
    (candidate) => candidate.section === section && candidate.name === name,
  );
  if (row === undefined) return;
  const { publicKey } = name.includes('ephemeral')
    ? section === 'message_2'
      ? keys.y
      : keys.x
    : section === 'message_2'
      ? keys.skR
      : keys.skI;
  const yCoordinate = fromHex(row.hex);
  const point = concat(Uint8Array.of(4), publicKey, yCoordinate);
  if (nodeCrypto.importPublicKey('P-256', point) === undefined) return;
  put(section, name, 'Raw Value', yCoordinate);
}
