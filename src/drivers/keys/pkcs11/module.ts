/**
 * The part of the pkcs11js package that is used, loaded only where a token is configured: the package is
 * a native add-on, and nobody without an HSM should need it.
 */
import { createRequire } from 'node:module';

export type Handle = Buffer;

export interface Attribute {
  readonly type: number;
  readonly value?: Buffer | boolean | number | string;
}

export interface Mechanism {
  readonly mechanism: number;
}

export interface Module {
  load(path: string): void;
  C_Initialize(options: { readonly flags: number }): void;
  C_GetSlotList(tokenPresent: boolean): Handle[];
  C_GetTokenInfo(slot: Handle): { readonly label: string; readonly flags: number };
  C_OpenSession(slot: Handle, flags: number): Handle;
  C_CloseSession(session: Handle): void;
  C_Login(session: Handle, userType: number, pin: string): void;
  C_FindObjectsInit(session: Handle, template: readonly Attribute[]): void;
  C_FindObjects(session: Handle, maximum: number): Handle[];
  C_FindObjectsFinal(session: Handle): void;
  C_GetAttributeValue(
    session: Handle,
    object: Handle,
    template: readonly Attribute[],
  ): Array<{ readonly type: number; readonly value: Buffer }>;
  C_GenerateKeyPair(
    session: Handle,
    mechanism: Mechanism,
    publicTemplate: readonly Attribute[],
    privateTemplate: readonly Attribute[],
  ): { readonly publicKey: Handle; readonly privateKey: Handle };
  C_SignInit(session: Handle, mechanism: Mechanism, key: Handle): void;
  C_SignAsync(session: Handle, data: Buffer, output: Buffer): Promise<Buffer>;
}

interface Package {
  readonly PKCS11: new () => Module;
}

/** Throws an Error that says what to install. */
export function loadPackage(): Module {
  const require = createRequire(import.meta.url);
  let loaded: unknown;
  try {
    loaded = require('pkcs11js');
  } catch (cause) {
    throw new Error('PKCS#11 needs the package pkcs11js: npm install pkcs11js', { cause });
  }
  if (!isPackage(loaded)) throw new Error('pkcs11js is of a version that is not known');
  return new loaded.PKCS11();
}

function isPackage(loaded: unknown): loaded is Package {
  return (
    typeof loaded === 'object' &&
    loaded !== null &&
    'PKCS11' in loaded &&
    typeof loaded.PKCS11 === 'function'
  );
}

/** Constants of PKCS#11 2.40 and 3.0, by their names there. */
export const ck = {
  CKF_OS_LOCKING_OK: 0x2,
  CKF_RW_SESSION: 0x2,
  CKF_SERIAL_SESSION: 0x4,
  CKF_USER_PIN_FINAL_TRY: 0x20000,
  CKU_USER: 1,
  CKO_PUBLIC_KEY: 2,
  CKO_PRIVATE_KEY: 3,
  CKK_EC: 0x3,
  CKK_EC_EDWARDS: 0x40,
  CKA_CLASS: 0x0,
  CKA_TOKEN: 0x1,
  CKA_PRIVATE: 0x2,
  CKA_LABEL: 0x3,
  CKA_KEY_TYPE: 0x100,
  CKA_SENSITIVE: 0x103,
  CKA_SIGN: 0x108,
  CKA_VERIFY: 0x10a,
  CKA_EXTRACTABLE: 0x162,
  CKA_EC_PARAMS: 0x180,
  CKA_EC_POINT: 0x181,
  CKM_EC_KEY_PAIR_GEN: 0x1040,
  CKM_EC_EDWARDS_KEY_PAIR_GEN: 0x1055,
  CKM_ECDSA: 0x1041,
  CKM_EDDSA: 0x1057,
  CKR_HOST_MEMORY: 0x2,
  CKR_SLOT_ID_INVALID: 0x3,
  CKR_GENERAL_ERROR: 0x5,
  CKR_FUNCTION_FAILED: 0x6,
  CKR_DEVICE_ERROR: 0x30,
  CKR_DEVICE_REMOVED: 0x32,
  CKR_KEY_HANDLE_INVALID: 0x60,
  CKR_OBJECT_HANDLE_INVALID: 0x82,
  CKR_SESSION_CLOSED: 0xb0,
  CKR_SESSION_HANDLE_INVALID: 0xb3,
  CKR_TOKEN_NOT_PRESENT: 0xe0,
  CKR_TOKEN_NOT_RECOGNIZED: 0xe1,
  CKR_USER_ALREADY_LOGGED_IN: 0x100,
  CKR_USER_NOT_LOGGED_IN: 0x101,
  CKR_CRYPTOKI_NOT_INITIALIZED: 0x190,
} as const;

/** Return value of the module; `undefined` for an error of another origin. */
export function returnValueOf(error: unknown): number | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  return typeof error.code === 'number' ? error.code : undefined;
}
