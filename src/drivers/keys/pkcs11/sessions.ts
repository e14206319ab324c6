/**
 * A token's sessions: a fixed number, one signature under way in each, and one for what is looked up and
 * made. Runs in a process of its own, because a vendor's module may crash or block.
 */
import { createHash } from 'node:crypto';
import { equal } from '../../../wire/bytes/bytes.ts';
import { causeOf, LoginRefused, problemOf, TokenLost } from './failures.ts';
import { ck, type Handle, type Module, returnValueOf } from './module.ts';
import type { OpenCommand, SignCommand, TokenAlgorithm, TokenKey } from './protocol.ts';

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
  readonly #tokenLabel: string;
  readonly #keys = new Map<string, KnownKey>();
  readonly #slot: Handle;
  /** For the synchronous calls; it never closes, so that the login never ends. */
  readonly #own: Handle;
  #idle: Handle[] = [];
  readonly #waiting: Array<(session: Handle) => void> = [];

  constructor(module: Module, options: OpenCommand) {
    this.#module = module;
    this.#tokenLabel = options.tokenLabel;
    module.load(options.modulePath);
    // Without CKF_OS_LOCKING_OK modules crash when two sessions sign at the same time.
    module.C_Initialize({ flags: ck.CKF_OS_LOCKING_OK });
    const { slot, own } = this.#connect(options);
    this.#slot = slot;
    this.#own = own;
  }

  /** `undefined` when the token holds no key of that label. */
  find(keyLabel: string): TokenKey | undefined {
    return this.#known(keyLabel)?.key;
  }

  /** The private key is made in the token, sensitive and not extractable. */
  generate(keyLabel: string, algorithm: TokenAlgorithm): TokenKey {
    const { ecParameters, generation, keyType } = parameters[algorithm];
    this.#module.C_GenerateKeyPair(
      this.#own,
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
    );
    const made = this.find(keyLabel);
    if (made === undefined) throw new Error(`the token lost the key ${keyLabel} it just made`);
    return made;
  }

  /** `undefined` when the token does not hold that key. */
  async sign({ keyLabel, point, data }: SignCommand): Promise<Uint8Array | undefined> {
    const known = this.#known(keyLabel);
    if (known === undefined || !equal(known.key.point, point)) return undefined;
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

  /** Throws when there is no such token, or it does not take the PIN. */
  #connect({ tokenLabel, pin, sessions }: OpenCommand): { slot: Handle; own: Handle } {
    const slot = this.#module.C_GetSlotList(true).find((one) => this.#labelOf(one) === tokenLabel);
    if (slot === undefined) throw new TokenLost(`no token with the label ${tokenLabel}`);
    if ((this.#module.C_GetTokenInfo(slot).flags & ck.CKF_USER_PIN_FINAL_TRY) !== 0) {
      throw new Error('it locks at one more wrong PIN, so that a person has to log in first');
    }
    const own = this.#open(slot);
    this.#login(own, pin);
    this.#idle = Array.from({ length: sessions }, () => this.#open(slot));
    return { slot, own };
  }

  #open(slot: Handle): Handle {
    return this.#module.C_OpenSession(slot, ck.CKF_SERIAL_SESSION | ck.CKF_RW_SESSION);
  }

  /** Once: a login holds for all sessions that the process has with the token (PKCS#11 2.40 §5.6). */
  #login(session: Handle, pin: string): void {
    try {
      this.#module.C_Login(session, ck.CKU_USER, pin);
    } catch (error) {
      if (returnValueOf(error) === ck.CKR_USER_ALREADY_LOGGED_IN) return;
      if (causeOf(error) === 'lost') throw error;
      throw new LoginRefused(problemOf(error), { cause: error });
    }
  }

  #replace(session: Handle): void {
    try {
      this.#module.C_CloseSession(session);
    } catch {
      // Gone already: that is why it is replaced.
    }
    try {
      this.#give(this.#open(this.#slot));
    } catch (cause) {
      throw new TokenLost(`no session can be opened (${problemOf(cause)})`, { cause });
    }
  }

  #labelOf(slot: Handle): string {
    return this.#module.C_GetTokenInfo(slot).label.trimEnd();
  }

  #known(keyLabel: string): KnownKey | undefined {
    const cached = this.#keys.get(keyLabel);
    if (cached !== undefined) return cached;
    const found = this.#lookUp(keyLabel);
    if (found === undefined) this.#checkPresent();
    else this.#keys.set(keyLabel, found);
    return found;
  }

  /** A module whose token is gone may find nothing and call that success. */
  #checkPresent(): void {
    if (this.#labelOf(this.#slot) === this.#tokenLabel) return;
    throw new TokenLost(`the token in the slot of ${this.#tokenLabel} is another one`);
  }

  #lookUp(keyLabel: string): KnownKey | undefined {
    const handle = this.#object(ck.CKO_PRIVATE_KEY, keyLabel);
    const publicKey = this.#object(ck.CKO_PUBLIC_KEY, keyLabel);
    if (handle === undefined || publicKey === undefined) return undefined;
    const [ecParameters, ecPoint] = this.#module.C_GetAttributeValue(this.#own, publicKey, [
      { type: ck.CKA_EC_PARAMS },
      { type: ck.CKA_EC_POINT },
    ]);
    if (ecParameters === undefined || ecPoint === undefined) return undefined;
    const algorithm = algorithmOf(ecParameters.value);
    if (algorithm === undefined) throw new Error(`key ${keyLabel} is of a curve that is not known`);
    return { handle, key: { algorithm, point: pointOf(ecPoint.value) } };
  }

  #object(objectClass: number, label: string): Handle | undefined {
    this.#module.C_FindObjectsInit(this.#own, [
      { type: ck.CKA_CLASS, value: objectClass },
      { type: ck.CKA_LABEL, value: label },
    ]);
    try {
      const found = this.#module.C_FindObjects(this.#own, 2);
      if (found.length > 1) throw new Error(`the token holds two keys with the label ${label}`);
      return found[0];
    } finally {
      this.#module.C_FindObjectsFinal(this.#own);
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
