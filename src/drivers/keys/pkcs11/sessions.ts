/**
 * A token's sessions: a fixed number, one signature under way in each, opened again after the token was
 * lost. Runs in a process of its own, because a vendor's module may crash or block.
 */
import { createHash } from 'node:crypto';
import { ck, type Handle, type Module, returnValueOf } from './module.ts';
import type { OpenCommand, TokenAlgorithm, TokenKey } from './protocol.ts';

interface Parameters {
  readonly ecParameters: Buffer;
  readonly keyType: number;
  readonly generation: number;
  readonly mechanism: number;
  readonly hash: string | undefined;
  readonly signatureBytes: number;
}

/** CKA_EC_PARAMS: the curve's OID, but a PrintableString for Ed25519, as SoftHSM and PKCS#11 3.0 have it. */
const parameters: Readonly<Record<TokenAlgorithm, Parameters>> = {
  'ecdsa-with-SHA256': {
    ecParameters: Buffer.from('06082a8648ce3d030107', 'hex'),
    keyType: ck.CKK_EC,
    generation: ck.CKM_EC_KEY_PAIR_GEN,
    mechanism: ck.CKM_ECDSA,
    hash: 'sha256',
    signatureBytes: 64,
  },
  'ecdsa-with-SHA384': {
    ecParameters: Buffer.from('06052b81040022', 'hex'),
    keyType: ck.CKK_EC,
    generation: ck.CKM_EC_KEY_PAIR_GEN,
    mechanism: ck.CKM_ECDSA,
    hash: 'sha384',
    signatureBytes: 96,
  },
  Ed25519: {
    ecParameters: Buffer.from('130c656477617264733235353139', 'hex'),
    keyType: ck.CKK_EC_EDWARDS,
    generation: ck.CKM_EC_EDWARDS_KEY_PAIR_GEN,
    mechanism: ck.CKM_EDDSA,
    hash: undefined,
    signatureBytes: 64,
  },
};

interface KnownKey {
  readonly handle: Handle;
  readonly key: TokenKey;
}

export class TokenSessions {
  readonly #module: Module;
  readonly #options: OpenCommand;
  readonly #keys = new Map<string, KnownKey>();
  #slot: Handle | undefined;
  #idle: Handle[] = [];
  #waiting: Array<(session: Handle) => void> = [];

  constructor(module: Module, options: OpenCommand) {
    this.#module = module;
    this.#options = options;
    module.load(options.modulePath);
    // Without CKF_OS_LOCKING_OK modules crash when two sessions sign at the same time.
    module.C_Initialize({ flags: ck.CKF_OS_LOCKING_OK });
    this.#connect();
  }

  /** `undefined` when the token holds no key of that label. */
  find(keyLabel: string): TokenKey | undefined {
    return this.#known(keyLabel)?.key;
  }

  /** The private key is made in the token, sensitive and not extractable. */
  generate(keyLabel: string, algorithm: TokenAlgorithm): TokenKey {
    const { ecParameters, generation, keyType } = parameters[algorithm];
    this.#withSession((session) =>
      this.#module.C_GenerateKeyPair(
        session,
        { mechanism: generation },
        [
          { type: ck.CKA_CLASS, value: ck.CKO_PUBLIC_KEY },
          { type: ck.CKA_KEY_TYPE, value: keyType },
          { type: ck.CKA_TOKEN, value: true },
          { type: ck.CKA_LABEL, value: keyLabel },
          { type: ck.CKA_VERIFY, value: true },
          { type: ck.CKA_EC_PARAMS, value: ecParameters },
        ],
        [
          { type: ck.CKA_CLASS, value: ck.CKO_PRIVATE_KEY },
          { type: ck.CKA_KEY_TYPE, value: keyType },
          { type: ck.CKA_TOKEN, value: true },
          { type: ck.CKA_PRIVATE, value: true },
          { type: ck.CKA_LABEL, value: keyLabel },
          { type: ck.CKA_SIGN, value: true },
          { type: ck.CKA_SENSITIVE, value: true },
          { type: ck.CKA_EXTRACTABLE, value: false },
        ],
      ),
    );
    const made = this.find(keyLabel);
    if (made === undefined) throw new Error(`the token lost the key ${keyLabel} it just made`);
    return made;
  }

  async sign(keyLabel: string, data: Uint8Array): Promise<Uint8Array | undefined> {
    const known = this.#known(keyLabel);
    if (known === undefined) return undefined;
    const { mechanism, hash, signatureBytes } = parameters[known.key.algorithm];
    const input = hash === undefined ? Buffer.from(data) : createHash(hash).update(data).digest();
    const session = await this.#take();
    try {
      this.#module.C_SignInit(session, { mechanism }, known.handle);
      const signature = await this.#module.C_SignAsync(
        session,
        input,
        Buffer.alloc(signatureBytes),
      );
      this.#give(session);
      return Uint8Array.from(signature);
    } catch (error) {
      // A session whose operation failed may hold an unfinished one: it is replaced, not reused.
      this.#replace(session);
      throw error;
    }
  }

  /** Everything anew, after the module said that device or sessions are gone. Object handles die with them. */
  reconnect(): void {
    this.#keys.clear();
    this.#idle = [];
    this.#connect();
  }

  #connect(): void {
    const slot = this.#module
      .C_GetSlotList(true)
      .find((candidate) => this.#labelOf(candidate) === this.#options.tokenLabel);
    if (slot === undefined) {
      throw Object.assign(new Error(`no token with the label ${this.#options.tokenLabel}`), {
        code: ck.CKR_TOKEN_NOT_PRESENT,
      });
    }
    this.#slot = slot;
    for (let count = 0; count < this.#options.sessions; count++) this.#give(this.#open(slot));
  }

  #open(slot: Handle): Handle {
    const session = this.#module.C_OpenSession(slot, ck.CKF_SERIAL_SESSION | ck.CKF_RW_SESSION);
    try {
      this.#module.C_Login(session, ck.CKU_USER, this.#options.pin);
    } catch (error) {
      // One login holds for all sessions of a process (PKCS#11 §5.6).
      if (returnValueOf(error) !== ck.CKR_USER_ALREADY_LOGGED_IN) throw error;
    }
    return session;
  }

  #replace(session: Handle): void {
    try {
      this.#module.C_CloseSession(session);
    } catch {
      // Gone already: that is why it is replaced.
    }
    if (this.#slot === undefined) return;
    try {
      this.#give(this.#open(this.#slot));
    } catch {
      // The pool is one smaller until reconnect() builds it anew.
    }
  }

  #labelOf(slot: Handle): string {
    return this.#module.C_GetTokenInfo(slot).label.trimEnd();
  }

  #known(keyLabel: string): KnownKey | undefined {
    const cached = this.#keys.get(keyLabel);
    if (cached !== undefined) return cached;
    const found = this.#withSession((session) => this.#lookUp(session, keyLabel));
    if (found !== undefined) this.#keys.set(keyLabel, found);
    return found;
  }

  #lookUp(session: Handle, keyLabel: string): KnownKey | undefined {
    const handle = this.#object(session, ck.CKO_PRIVATE_KEY, keyLabel);
    const publicKey = this.#object(session, ck.CKO_PUBLIC_KEY, keyLabel);
    if (handle === undefined || publicKey === undefined) return undefined;
    const [ecParameters, ecPoint] = this.#module.C_GetAttributeValue(session, publicKey, [
      { type: ck.CKA_EC_PARAMS },
      { type: ck.CKA_EC_POINT },
    ]);
    if (ecParameters === undefined || ecPoint === undefined) return undefined;
    const algorithm = algorithmOf(ecParameters.value);
    if (algorithm === undefined) throw new Error(`key ${keyLabel} is of a curve that is not known`);
    return { handle, key: { algorithm, point: pointOf(ecPoint.value) } };
  }

  #object(session: Handle, objectClass: number, label: string): Handle | undefined {
    this.#module.C_FindObjectsInit(session, [
      { type: ck.CKA_CLASS, value: objectClass },
      { type: ck.CKA_LABEL, value: label },
    ]);
    const found = this.#module.C_FindObjects(session, 2);
    this.#module.C_FindObjectsFinal(session);
    if (found.length > 1) throw new Error(`the token holds two keys with the label ${label}`);
    return found[0];
  }

  /** For the synchronous calls; signatures under way hold their sessions, so one more is opened for this. */
  #withSession<Value>(use: (session: Handle) => Value): Value {
    if (this.#slot === undefined) throw new Error('the token is not open');
    const session = this.#open(this.#slot);
    try {
      return use(session);
    } finally {
      this.#module.C_CloseSession(session);
    }
  }

  async #take(): Promise<Handle> {
    const idle = this.#idle.pop();
    if (idle !== undefined) return idle;
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #give(session: Handle): void {
    const waiting = this.#waiting.shift();
    if (waiting === undefined) this.#idle.push(session);
    else waiting(session);
  }
}

function algorithmOf(ecParameters: Buffer): TokenAlgorithm | undefined {
  const algorithms: readonly TokenAlgorithm[] = [
    'ecdsa-with-SHA256',
    'ecdsa-with-SHA384',
    'Ed25519',
  ];
  return algorithms.find((name) => parameters[name].ecParameters.equals(ecParameters));
}

/** Most modules wrap the point in an OCTET STRING, as PKCS#11 asks; some give it bare. */
function pointOf(value: Buffer): Uint8Array {
  const wrapped = value[0] === 0x04 && value[1] === value.length - 2;
  return Uint8Array.from(wrapped ? value.subarray(2) : value);
}
