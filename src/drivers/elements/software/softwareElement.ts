/**
 * A secure element made of software: the same port as a chip, for demonstrations, tests and lines that
 * are being set up. NOT FOR PRODUCTION: who reads this process's memory, or has the passphrase, has the
 * keys, and an older copy of the file brings an older state back.
 */
import { type KeyObject, randomBytes } from 'node:crypto';
import type {
  DeviceElement,
  OperationalKey,
  OperationalKeys,
} from '../../../device/ports/element.ts';
import {
  type CertificateSlot,
  type DataSlot,
  type Element,
  type ElementContents,
  ElementError,
  type ElementIdentity,
  type ElementLifecycle,
  type KeySlot,
} from '../../../trust/ports/element.ts';
import { concat } from '../../../wire/bytes/bytes.ts';
import { MalformedError, UnsupportedError } from '../../../wire/bytes/malformed.ts';
import { toHex } from '../../../wire/bytes/hex.ts';
import { utf8 } from '../../../wire/bytes/utf8.ts';
import type { Secret } from '../../../wire/crypto/crypto.ts';
import type { DurableFolder } from './durableFolder.ts';
import {
  type ElementRecord,
  encodeElementRecord,
  limits,
  parseElementFile,
  type StoredKey,
  type StoredKeySlot,
} from './elementFile.ts';
import type { ElementKeys, FolderKey } from './folderKey.ts';
import { agreeP256, exportPkcs8, generateP256, importPkcs8, signP256 } from './p256.ts';

/** Slots that a device may write after the lock. */
const writableForever: ReadonlySet<CertificateSlot | DataSlot> = new Set([
  'ldevid',
  'ldevid-next',
  'state',
]);

export const softwareFamily = 'software';
const model = 'Software Element (NOT FOR PRODUCTION)';
const firmware = '1';

export class SoftwareElement implements Element, DeviceElement {
  readonly identity: ElementIdentity;
  readonly operational: OperationalKeys;
  readonly #folder: DurableFolder;
  readonly #name: string;
  readonly #keys: ElementKeys;
  #record: ElementRecord;
  readonly #privateKeys = new Map<StoredKeySlot, KeyObject>();
  /** Changes run one after the other, each on the outcome of the one before. */
  #lastChange: Promise<void> = Promise.resolve();
  #failure: ElementError | undefined;

  private constructor(
    folder: DurableFolder,
    name: string,
    keys: ElementKeys,
    record: ElementRecord,
  ) {
    this.identity = {
      family: softwareFamily,
      uid: record.uid,
      model: record.model,
      firmware: record.firmware,
    };
    this.#folder = folder;
    this.#name = name;
    this.#keys = keys;
    this.#record = record;
    this.operational = {
      publicKey: async (which) => this.#current().keys.get(storedSlots[which])?.publicKey.slice(),
      generateNext: () => this.#generateNext(),
      sign: async (which, data) => signP256(this.#privateKey(storedSlots[which]), data),
      promote: () => this.#replaceNext(promoted),
      discardNext: () => this.#replaceNext(withoutNext),
    };
  }

  /** A blank element. Rejects with a `TypeError` when the folder has one of that uid. */
  static async create(
    folder: DurableFolder,
    folderKey: FolderKey,
    uid: Uint8Array,
  ): Promise<SoftwareElement> {
    if (uid.length < 1 || uid.length > limits.uidBytes) {
      throw new TypeError(`a uid has 1 to ${limits.uidBytes} bytes`);
    }
    const keys = folderKey.forElement(uid);
    const record: ElementRecord = {
      uid: uid.slice(),
      model,
      firmware,
      lifecycle: 'blank',
      keys: new Map(),
      certificates: new Map(),
      data: new Map(),
    };
    const name = fileNameOf(uid);
    if (!(await folder.create(name, encodeFile(record, keys)))) {
      throw new TypeError(`${folder.path} already has an element ${toHex(uid)}`);
    }
    return new SoftwareElement(folder, name, keys, record);
  }

  /** Rejects with an `ElementError`: `unreachable` when it cannot be read, `damaged` when altered. */
  static async open(
    folder: DurableFolder,
    folderKey: FolderKey,
    name: string,
  ): Promise<SoftwareElement> {
    const { record, covered, mac } = await readFile(folder, name);
    const keys = folderKey.forElement(record.uid);
    if (!keys.verifyMac(covered, mac)) {
      throw new ElementError('damaged', `${name} was altered, or belongs to another folder`);
    }
    // A copy under a second name would be two elements of one identity.
    if (name !== fileNameOf(record.uid)) {
      throw new ElementError('damaged', `${name} holds the element ${toHex(record.uid)}`);
    }
    return new SoftwareElement(folder, name, keys, record);
  }

  async lifecycle(): Promise<ElementLifecycle> {
    return this.#current().lifecycle;
  }

  async random(lengthBytes: number): Promise<Uint8Array> {
    return Uint8Array.from(randomBytes(lengthBytes));
  }

  async generateKey(slot: KeySlot): Promise<Uint8Array> {
    const { privateKey, stored } = this.#newKey(slot);
    await this.#change((record) => {
      if (record.lifecycle === 'locked') throw locked(`the ${slot} key is permanent`);
      const keys = new Map(record.keys).set(slot, stored);
      return { ...record, lifecycle: 'personalized', keys };
    });
    this.#privateKeys.set(slot, privateKey);
    return stored.publicKey.slice();
  }

  async publicKey(slot: KeySlot): Promise<Uint8Array | undefined> {
    return this.#current().keys.get(slot)?.publicKey.slice();
  }

  async sign(slot: 'sign', data: Uint8Array): Promise<Uint8Array> {
    return signP256(this.#privateKey(slot), data);
  }

  async agree(slot: 'agree', peerPublicKey: Uint8Array): Promise<Secret | undefined> {
    return agreeP256(this.#privateKey(slot), peerPublicKey);
  }

  write(contents: ElementContents): Promise<void> {
    return this.#change((record) => written(record, contents));
  }

  async readCertificate(slot: CertificateSlot): Promise<readonly Uint8Array[] | undefined> {
    return this.#current()
      .certificates.get(slot)
      ?.map((certificate) => certificate.slice());
  }

  async readData(slot: DataSlot): Promise<Uint8Array | undefined> {
    return this.#current().data.get(slot)?.slice();
  }

  lock(): Promise<void> {
    return this.#change((record) => {
      if (!record.keys.has('sign')) throw new ElementError('empty', 'nothing to lock: no sign key');
      return { ...record, lifecycle: 'locked' };
    });
  }

  /**
   * PKCS#8 PEM for node:tls, which cannot call an element. The one way out for a private key, and it
   * exists in this driver only.
   */
  tlsKeyPem(slot: 'sign'): string {
    return this.#privateKey(slot).export({ format: 'pem', type: 'pkcs8' }).toString();
  }

  async #generateNext(): Promise<Uint8Array> {
    const { stored } = this.#newKey('operational');
    await this.#replaceNext((record) => {
      if (record.lifecycle !== 'locked')
        throw new ElementError('not-offered', 'not before the lock');
      const { keys, ...rest } = withoutNext(record);
      return { ...rest, keys: new Map(keys).set('operational-next', stored) };
    });
    return stored.publicKey.slice();
  }

  async #replaceNext(apply: (record: ElementRecord) => ElementRecord): Promise<void> {
    await this.#change(apply);
    this.#privateKeys.delete('operational');
    this.#privateKeys.delete('operational-next');
  }

  #newKey(slot: StoredKeySlot): { readonly privateKey: KeyObject; readonly stored: StoredKey } {
    const { privateKey, publicKey } = generateP256();
    const pkcs8 = exportPkcs8(privateKey);
    const sealed = this.#keys.seal(pkcs8, this.#sealContext(slot, publicKey));
    pkcs8.fill(0);
    return { privateKey, stored: { publicKey, sealed } };
  }

  #current(): ElementRecord {
    if (this.#failure !== undefined) throw this.#failure;
    return this.#record;
  }

  #change(apply: (record: ElementRecord) => ElementRecord): Promise<void> {
    const change = this.#lastChange.then(() => this.#store(apply(this.#current())));
    this.#lastChange = change.catch(() => undefined);
    return change;
  }

  async #store(record: ElementRecord): Promise<void> {
    const file = encodeFile(record, this.#keys);
    if (file.length > limits.fileBytes) throw new ElementError('too-large', 'the element is full');
    try {
      await this.#folder.replace(this.#name, file);
      this.#record = record;
    } catch (cause) {
      // The file now holds the state before or after the change. This object does not know which, so it
      // is of no more use; opened again, the element tells.
      const reason = 'its file could not be written; open it again';
      this.#failure = new ElementError('unreachable', reason, { cause });
      throw this.#failure;
    }
  }

  #privateKey(slot: StoredKeySlot): KeyObject {
    const stored = this.#current().keys.get(slot);
    if (stored === undefined) throw new ElementError('empty', `no ${slot} key`);
    const known = this.#privateKeys.get(slot);
    if (known !== undefined) return known;
    const pkcs8 = this.#keys.open(stored.sealed, this.#sealContext(slot, stored.publicKey));
    if (pkcs8 === undefined) throw new ElementError('damaged', `the ${slot} key was altered`);
    const { privateKey } = importPkcs8(pkcs8);
    pkcs8.fill(0);
    this.#privateKeys.set(slot, privateKey);
    return privateKey;
  }

  /** Keys cannot be exchanged between slots or elements, nor parted from their public key. */
  #sealContext(slot: StoredKeySlot, publicKey: Uint8Array): Uint8Array {
    // An operational key moves from one of its slots to the other as it is.
    const name = slot === 'operational-next' ? 'operational' : slot;
    return concat(utf8(`${name}\n`), publicKey, this.identity.uid);
  }
}

export const elementFileSuffix = '.element';

export function fileNameOf(uid: Uint8Array): string {
  return `${toHex(uid)}${elementFileSuffix}`;
}

function encodeFile(record: ElementRecord, keys: ElementKeys): Uint8Array {
  const covered = encodeElementRecord(record);
  return concat(covered, keys.mac(covered));
}

async function readFile(
  folder: DurableFolder,
  name: string,
): Promise<ReturnType<typeof parseElementFile>> {
  let file: Uint8Array;
  try {
    file = await folder.read(name);
  } catch (cause) {
    throw new ElementError('unreachable', `${name} cannot be read`, { cause });
  }
  try {
    return parseElementFile(file);
  } catch (cause) {
    if (cause instanceof MalformedError || cause instanceof UnsupportedError) {
      throw new ElementError('damaged', `${name}: ${cause.message}`, { cause });
    }
    throw cause;
  }
}

function written(record: ElementRecord, contents: ElementContents): ElementRecord {
  const certificates = new Map(record.certificates);
  const data = new Map(record.data);
  for (const [slot, chain] of entries(contents.certificates)) {
    checkWritable(record, slot);
    checkChain(slot, chain);
    if (chain.length === 0) certificates.delete(slot);
    else
      certificates.set(
        slot,
        chain.map((certificate) => certificate.slice()),
      );
  }
  for (const [slot, value] of entries(contents.data)) {
    checkWritable(record, slot);
    if (value.length > limits.dataBytes) {
      throw new ElementError('too-large', `${slot} holds ${limits.dataBytes} bytes`);
    }
    data.set(slot, value.slice());
  }
  const lifecycle = record.lifecycle === 'blank' ? 'personalized' : record.lifecycle;
  return { ...record, lifecycle, certificates, data };
}

const storedSlots: Readonly<Record<OperationalKey, StoredKeySlot>> = {
  present: 'operational',
  next: 'operational-next',
};

function promoted(record: ElementRecord): ElementRecord {
  const key = record.keys.get('operational-next');
  const ldevid = record.certificates.get('ldevid-next');
  if (key === undefined || ldevid === undefined) {
    throw new ElementError('empty', 'no next key with its certificate');
  }
  const { keys, certificates, ...rest } = withoutNext(record);
  return {
    ...rest,
    keys: new Map(keys).set('operational', key),
    certificates: new Map(certificates).set('ldevid', ldevid),
  };
}

function withoutNext(record: ElementRecord): ElementRecord {
  const keys = new Map(record.keys);
  const certificates = new Map(record.certificates);
  keys.delete('operational-next');
  certificates.delete('ldevid-next');
  return { ...record, keys, certificates };
}

function checkWritable(record: ElementRecord, slot: CertificateSlot | DataSlot): void {
  if (record.lifecycle === 'locked' && !writableForever.has(slot)) {
    throw locked(`${slot} is permanent`);
  }
}

function checkChain(slot: CertificateSlot, chain: readonly Uint8Array[]): void {
  if (chain.length > limits.certificatesPerSlot) {
    throw new ElementError('too-large', `${slot} holds ${limits.certificatesPerSlot} certificates`);
  }
  if (chain.some(({ length }) => length < 1 || length > limits.certificateBytes)) {
    const limit = `certificates of 1 to ${limits.certificateBytes} bytes`;
    throw new ElementError('too-large', `${slot} holds ${limit}`);
  }
}

function locked(what: string): ElementError {
  return new ElementError('locked', `the element is locked: ${what}`);
}

/** `Object.entries` with the keys that the type names. */
function entries<Key extends string, Value>(
  values: Readonly<Partial<Record<Key, Value>>> | undefined,
): ReadonlyArray<readonly [Key, Value]> {
  const found: Array<readonly [Key, Value]> = [];
  if (values === undefined) return found;
  for (const key in values) {
    const value = values[key];
    if (value !== undefined) found.push([key, value]);
  }
  return found;
}
