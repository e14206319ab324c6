/**
 * The certificates that this server shows in EDHOC to devices that know it by their anchor: for each use a
 * key of its own, certified as C509 and as X.509, made here and replaced with its certificates: an old
 * certificate is worth nothing without its key, and the floor that a newer one brings is what makes devices
 * refuse a stolen one.
 *
 *     session-credentials.cbor   [ agreeing: [key: tstr, certificate: bstr, x509: bstr], signing: [...] ]
 */
import { existsSync } from 'node:fs';
import { open, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import type { KeyFolder } from '../../drivers/keys/software/keyFolder.ts';
import { nodeCrypto } from '../../drivers/keys/software/nodeCrypto.ts';
import { decompressPoint } from '../../drivers/keys/software/points.ts';
import type { Clock } from '../../trust/ports/clock.ts';
import { EnvironmentError, isRefusal } from '../../trust/ports/faults.ts';
import type { KeyAgreement, Signer } from '../../trust/ports/keys.ts';
import type { SessionServerAuthority } from '../../trust/ports/sessionServerAuthority.ts';
import { requestCredential } from '../../trust/sessions/credentialRequest.ts';
import type { ChainCredential, ServerChains } from '../../trust/sessions/ownCredentials.ts';
import { type Rate, TokenBucket } from '../../trust/status/tokenBucket.ts';
import { empty } from '../../wire/bytes/bytes.ts';
import { parseEitherCertificate } from '../../wire/c509/either.ts';
import { CborReader } from '../../wire/cbor/reader.ts';
import * as cbor from '../../wire/cbor/writer.ts';
import { parseCertificate } from '../../wire/x509/certificate.ts';
import { findExtension } from '../../wire/x509/extensions.ts';
import { decodeServerGeneration, exampleGenerationOid } from '../../wire/x509/serverGeneration.ts';
import { isBy } from './serverCertificate.ts';

export interface SessionCredentialOptions {
  readonly folder: string;
  readonly keys: KeyFolder;
  readonly authority: SessionServerAuthority;
  /** Its generations are counted under this name. */
  readonly name: string;
  readonly clock: Clock;
  /** Makes it known to the registry, where it can be revoked; before it is shown. */
  readonly enter: (certificate: Uint8Array, notAfterMs: number) => Promise<void>;
  /** DER of the authority that issues them now. */
  readonly issuer: () => Uint8Array | undefined;
  /** How often this process asks for a word. Default: `wordRate`. */
  readonly words?: Rate;
}

/** Every message_1 can ask for one, and nobody is authenticated there: the authority signs for others too. */
export const wordRate: Rate = { perSecond: 500, burst: 1_000 };

const fileName = 'session-credentials.cbor';
const kinds = ['agree', 'sign'] as const;
type Kind = (typeof kinds)[number];

/** Of its life that is over when a certificate is renewed. */
const renewalAt = 2 / 3;

interface Held {
  readonly keyName: string;
  /** C509. */
  readonly certificate: Uint8Array;
  /** DER. */
  readonly x509: Uint8Array;
}

export class SessionCredentials {
  readonly #options: SessionCredentialOptions;
  readonly #words: TokenBucket;
  #agreeing: ChainCredential<KeyAgreement> | undefined;
  #signing: ChainCredential<Signer> | undefined;

  private constructor(options: SessionCredentialOptions) {
    this.#options = options;
    this.#words = new TokenBucket(options.words ?? wordRate, options.clock);
  }

  /** With what was stored; `refresh` asks for what is missing. Rejects with an `EnvironmentError`. */
  static async open(options: SessionCredentialOptions): Promise<SessionCredentials> {
    const credentials = new SessionCredentials(options);
    await credentials.#use(await credentials.#stored());
    return credentials;
  }

  get chains(): ServerChains {
    return {
      agreeing: () => this.#agreeing,
      signing: () => this.#signing,
      vouch: (certificate, hash) => this.#vouch(certificate, hash),
    };
  }

  /**
   * Replaces what comes to its end, does not count any more, or says an older floor than the authority signs
   * now. Returns whether anything changed. Rejects with an `EnvironmentError`.
   */
  async refresh(): Promise<boolean> {
    const held = new Map(await this.#stored());
    let changed = false;
    for (const kind of kinds) {
      const present = held.get(kind);
      if (present !== undefined && (await this.#serve(present))) continue;
      held.set(kind, await this.#issue(kind));
      // At once: as long as the other kind is refused, every round would ask for one more of this.
      await this.#keep(held);
      changed = true;
    }
    return changed;
  }

  /** Beyond the rate as when the authority is away: the device may ask again. */
  async #vouch(...asked: Parameters<ServerChains['vouch']>): ReturnType<ServerChains['vouch']> {
    if (this.#words.take()) return this.#options.authority.vouch(...asked);
    throw new EnvironmentError('too many ask for a word of the authority', { retryable: true });
  }

  async #keep(held: ReadonlyMap<Kind, Held>): Promise<void> {
    // A crash before this write leaves a key without a certificate, which the next change removes.
    await this.#write(held);
    await this.#use(held);
    const { keys } = this.#options;
    const used = new Set([...held.values()].map(({ keyName }) => keyName));
    for (const name of await keys.names()) {
      if (isOurs(name) && !used.has(name)) await keys.remove(name);
    }
  }

  async #serve({ certificate, x509 }: Held): Promise<boolean> {
    return (await this.#serves(certificate)) && this.#serves(x509);
  }

  async #serves(certificate: Uint8Array): Promise<boolean> {
    const { authority, clock, issuer } = this.#options;
    const read = parseEitherCertificate(certificate, decompressPoint).certificate;
    const { notBeforeMs, notAfterMs, extensions } = read;
    if (clock.nowMs() >= notBeforeMs + (notAfterMs - notBeforeMs) * renewalAt) return false;
    if (!isBy(read, issuer())) return false;
    const stated = findExtension(extensions, exampleGenerationOid);
    const { floor, counts } = await authority.standing(certificate);
    return counts && stated !== undefined && decodeServerGeneration(stated.value).floor === floor;
  }

  async #issue(kind: Kind): Promise<Held> {
    const { keys } = this.#options;
    const keyName = nextName(kind, await keys.names());
    await keys.create(keyName, kind === 'agree' ? 'p256-agree' : 'p256-sign');
    const key = kind === 'agree' ? await keys.agreement(keyName) : await keys.signer(keyName);
    try {
      const certificate = await this.#certified(key, 'native');
      return { keyName, certificate, x509: await this.#certified(key, 'der') };
    } catch (error) {
      await keys.remove(keyName);
      throw error;
    }
  }

  async #certified(key: KeyAgreement | Signer, form: 'native' | 'der'): Promise<Uint8Array> {
    const { authority, name, issuer, enter } = this.#options;
    const { subject: issuerName } = parseCertificate(issuer() ?? empty);
    const request = { crypto: nodeCrypto, authority, issuerName, name, form };
    const issued = await requestCredential(request, key);
    if (isRefusal(issued)) {
      const problem = `the authority issues no credential for sessions: ${issued.reason}`;
      throw new EnvironmentError(problem, { retryable: false });
    }
    const { certificate } = issued;
    const { notAfterMs } = parseEitherCertificate(certificate, decompressPoint).certificate;
    // A crash here leaves a credential that nobody shows; the next start asks for another one.
    await enter(certificate, notAfterMs);
    return certificate;
  }

  async #use(held: ReadonlyMap<Kind, Held>): Promise<void> {
    const { keys } = this.#options;
    const agree = held.get('agree');
    const sign = held.get('sign');
    this.#agreeing = agree && { ...agree, key: await keys.agreement(agree.keyName) };
    this.#signing = sign && { ...sign, key: await keys.signer(sign.keyName) };
  }

  async #stored(): Promise<ReadonlyMap<Kind, Held>> {
    const path = join(this.#options.folder, fileName);
    if (!existsSync(path)) return new Map();
    const reader = new CborReader(new Uint8Array(await readFile(path)));
    if (reader.array() !== kinds.length) reader.fail('not the members of this file', 0);
    const names = await this.#options.keys.names();
    const held = new Map<Kind, Held>();
    for (const kind of kinds) {
      const members = reader.array();
      const keyName = reader.text();
      const certificate = reader.bytes();
      // An older version had no X.509: `refresh` replaces it.
      const x509 = members > 2 ? reader.bytes() : undefined;
      if (names.includes(keyName) && x509 !== undefined) {
        held.set(kind, { keyName, certificate, x509 });
      }
    }
    return held;
  }

  async #write(held: ReadonlyMap<Kind, Held>): Promise<void> {
    const members = kinds.map((kind) => {
      const { keyName = '', certificate = empty, x509 = empty } = held.get(kind) ?? {};
      return cbor.array(cbor.text(keyName), cbor.bytes(certificate), cbor.bytes(x509));
    });
    const path = join(this.#options.folder, fileName);
    const file = await open(`${path}.tmp`, 'w', 0o600);
    try {
      await file.writeFile(cbor.array(...members));
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(`${path}.tmp`, path);
  }
}

function isOurs(keyName: string): boolean {
  return kinds.some((kind) => keyName.startsWith(`session-${kind}-`));
}

function nextName(kind: Kind, names: readonly string[]): string {
  let number = 1;
  while (names.includes(`session-${kind}-${number}`)) number += 1;
  return `session-${kind}-${number}`;
}
