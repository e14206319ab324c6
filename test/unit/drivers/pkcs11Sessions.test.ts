/** What the process of a PKCS#11 module makes of what the module says: a stub module says it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { causeOf, type FailureCause } from '../../../src/drivers/keys/pkcs11/failures.ts';
import { ck, type Handle, type Module } from '../../../src/drivers/keys/pkcs11/module.ts';
import { TokenSessions } from '../../../src/drivers/keys/pkcs11/sessions.ts';

const data = Uint8Array.of(1);
const point = Uint8Array.of(4, 1, 2);
const ecPoint = Buffer.from('0403040102', 'hex');
const p256 = Buffer.from('06082a8648ce3d030107', 'hex');

interface Stub extends Module {
  label: string;
  flags: number;
  keyPoint: Buffer;
  /** What the next calls of a function throw. */
  readonly failing: Map<keyof Module, number>;
  readonly calls: Array<keyof Module>;
}

/** A token that holds one P-256 key of any label, unless a search for it is `empty`. */
function stubModule(): Stub & { empty: boolean } {
  const failing = new Map<keyof Module, number>();
  const calls: Array<keyof Module> = [];
  const handle: Handle = Buffer.alloc(8);
  const called = (name: keyof Module): void => {
    calls.push(name);
    const code = failing.get(name);
    if (code !== undefined) throw withCode(code);
  };
  const answers =
    <Value>(name: keyof Module, value: () => Value) =>
    (): Value => {
      called(name);
      return value();
    };
  const nothing = (): undefined => undefined;
  const stub: Stub & { empty: boolean } = {
    label: 'ca',
    flags: 0,
    keyPoint: ecPoint,
    empty: false,
    failing,
    calls,
    load: nothing,
    C_Initialize: nothing,
    C_GetSlotList: answers('C_GetSlotList', () => [handle]),
    C_GetTokenInfo: answers('C_GetTokenInfo', () => ({
      label: stub.label.padEnd(32),
      flags: stub.flags,
    })),
    C_OpenSession: answers('C_OpenSession', () => handle),
    C_CloseSession: answers('C_CloseSession', nothing),
    C_Login: answers('C_Login', nothing),
    C_FindObjectsInit: answers('C_FindObjectsInit', nothing),
    C_FindObjects: answers('C_FindObjects', () => (stub.empty ? [] : [handle])),
    C_FindObjectsFinal: answers('C_FindObjectsFinal', nothing),
    C_GetAttributeValue: answers('C_GetAttributeValue', () => [
      { type: ck.CKA_EC_PARAMS, value: p256 },
      { type: ck.CKA_EC_POINT, value: stub.keyPoint },
    ]),
    C_GenerateKeyPair: answers('C_GenerateKeyPair', () => ({
      publicKey: handle,
      privateKey: handle,
    })),
    C_SignInit: answers('C_SignInit', nothing),
    C_SignAsync: (_session, _input, output) =>
      Promise.resolve(answers('C_SignAsync', () => output)()),
  };
  return stub;
}

function withCode(code: number): Error {
  return Object.assign(new Error(`code ${code}`), { code });
}

function opened(module: Module, sessions = 2): TokenSessions {
  const pin = '1234';
  return new TokenSessions(module, {
    command: 'open',
    modulePath: '',
    tokenLabel: 'ca',
    pin,
    sessions,
  });
}

const signature = { command: 'sign', keyLabel: 'op', point, data } as const;

const causes: ReadonlyArray<readonly [FailureCause, readonly number[]]> = [
  // HOST_MEMORY, SLOT_ID_INVALID, GENERAL_ERROR, FUNCTION_FAILED, DEVICE_ERROR, DEVICE_REMOVED,
  // KEY_HANDLE_INVALID, OBJECT_HANDLE_INVALID, SESSION_CLOSED, SESSION_HANDLE_INVALID, TOKEN_NOT_PRESENT,
  // TOKEN_NOT_RECOGNIZED, USER_NOT_LOGGED_IN, CRYPTOKI_NOT_INITIALIZED.
  ['lost', [0x2, 0x3, 0x5, 0x6, 0x30, 0x32, 0x60, 0x82, 0xb0, 0xb3, 0xe0, 0xe1, 0x101, 0x190]],
  // ARGUMENTS_BAD, DATA_LEN_RANGE, DEVICE_MEMORY, MECHANISM_INVALID, SESSION_COUNT, a vendor's.
  ['other', [0x7, 0x21, 0x31, 0x70, 0xb1, 0x80000001]],
];

for (const [cause, codes] of causes) {
  test(`return values of a signature that mean: ${cause}`, async () => {
    for (const code of codes) {
      const module = stubModule();
      const sessions = opened(module);
      module.failing.set('C_SignInit', code);
      await assert.rejects(sessions.sign(signature), (error) => causeOf(error) === cause);
    }
  });
}

test('a login that is refused, for whatever reason, is the PIN; one of a token that went is not', () => {
  for (const code of [0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0x102, 0x7, 0x80000001, 0x30, 0xe0]) {
    const module = stubModule();
    module.failing.set('C_Login', code);
    const cause = code === 0x30 || code === 0xe0 ? 'lost' : 'pin';
    assert.throws(
      () => opened(module),
      (error) => causeOf(error) === cause,
      `${code}`,
    );
    assert.equal(count(module, 'C_Login'), 1);
  }
});

test('the last try before a token locks is not taken', () => {
  const module = stubModule();
  module.flags = ck.CKF_USER_PIN_FINAL_TRY;
  assert.throws(() => opened(module), /a person has to log in first/);
  assert.equal(count(module, 'C_Login'), 0);
});

test('one login serves for everything, whatever fails after it', async () => {
  const module = stubModule();
  const sessions = opened(module);
  module.failing.set('C_SignAsync', 0x21);
  for (let attempt = 0; attempt < 5; attempt++) await assert.rejects(sessions.sign(signature));
  module.failing.delete('C_SignAsync');
  for (let attempt = 0; attempt < 5; attempt++) assert.ok(await sessions.sign(signature));
  sessions.generate('op', 'ecdsa-with-SHA256');
  assert.equal(count(module, 'C_Login'), 1);
  // One for searches, two for signatures, and one in place of each that failed.
  assert.equal(count(module, 'C_OpenSession'), 3 + 5);
  assert.equal(count(module, 'C_CloseSession'), 5);
});

test('a session that cannot be replaced is a token that was lost', async () => {
  const module = stubModule();
  const sessions = opened(module);
  module.failing.set('C_SignAsync', 0x21).set('C_OpenSession', 0xb1);
  await assert.rejects(sessions.sign(signature), (error) => causeOf(error) === 'lost');
});

test('that a key is not there is believed only while its token is', () => {
  const module = stubModule();
  const sessions = opened(module);
  module.empty = true;
  assert.equal(sessions.find('op'), undefined);
  module.failing.set('C_GetTokenInfo', ck.CKR_GENERAL_ERROR);
  assert.throws(
    () => sessions.find('op'),
    (error) => causeOf(error) === 'lost',
  );
  module.failing.clear();
  module.label = 'another';
  assert.throws(
    () => sessions.find('op'),
    (error) => causeOf(error) === 'lost',
  );
  assert.throws(
    () => opened(module),
    (error) => causeOf(error) === 'lost',
  );
});

test('another key of the same label signs nothing', async () => {
  const module = stubModule();
  module.keyPoint = Buffer.from('0403040103', 'hex');
  assert.equal(await opened(module).sign(signature), undefined);
  assert.equal(count(module, 'C_SignInit'), 0);
});

function count(module: Stub, name: keyof Module): number {
  return module.calls.filter((call) => call === name).length;
}
