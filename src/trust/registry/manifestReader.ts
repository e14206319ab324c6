/**
 * Verifies the entries of a manifest, Microchip's or one of ours, while the file is being read. The first
 * fault names its entry and ends it.
 */
import { equal } from '../../wire/bytes/bytes.ts';
import { toHex } from '../../wire/bytes/hex.ts';
import { MalformedError, UnsupportedError } from '../../wire/bytes/malformed.ts';
import type { Crypto } from '../../wire/crypto/crypto.ts';
import { readEntry, type SignedEntry } from '../../wire/manifest/entry.ts';
import { ManifestFault } from '../../wire/manifest/fault.ts';
import type {
  BirthMembers,
  ElementRecord,
  ManifestKey,
  ManifestProofLevel,
} from '../../wire/manifest/record.ts';
import { EntrySplitter } from '../../wire/manifest/splitter.ts';
import { namesBirth } from '../../wire/x509/birthName.ts';
import { parseCertificate } from '../../wire/x509/certificate.ts';
import { p256Spki } from '../../wire/x509/spki.ts';
import { type PathRules, verifyPath } from '../peers/paths.ts';
import { isRefusal, type Refusal, refuse } from '../ports/faults.ts';
import type { SignatureVerifier } from '../ports/keys.ts';
import { ManifestSigners, type SignerRefusal } from './manifestSigners.ts';

/** `microchip`: SecureElementManifest v1 as published. `birthmark`: the same with our birth members. */
export type ManifestFormat = 'microchip' | 'birthmark';

/** What is believed, all of it DER. */
export interface ManifestTrust {
  readonly format: ManifestFormat;
  /** Certificates of the keys that may sign entries. */
  readonly signers: readonly Uint8Array[];
  /** Roots under which the elements' own certificates must stand. */
  readonly anchors: readonly Uint8Array[];
}

export interface ManifestPorts {
  readonly crypto: Crypto;
  readonly verifier: SignatureVerifier;
}

export type ManifestRefusal =
  | SignerRefusal
  | 'malformed'
  | 'unsupported'
  /** The two copies of `uniqueId` differ, or the birth members name another device than the certificate. */
  | 'wrong-identity'
  /** Not a point of the curve, no sign key, or not the key of the certificate. */
  | 'wrong-key'
  | 'untrusted-certificate'
  /** Unique id, device id, EUI-64 or key of another entry. */
  | 'duplicate'
  | 'too-many';

export interface ManifestRefused extends Refusal<ManifestRefusal> {
  /** Position of the entry at fault, from 0. */
  readonly entry: number;
}

/** One element whose entry was verified. */
export interface ImportedElement {
  readonly family: string;
  /** Unique within the family. */
  readonly uid: Uint8Array;
  readonly model: string;
  readonly partNumber: string;
  readonly groupId: string;
  readonly provisionedMs: number;
  readonly proofLevel: ManifestProofLevel;
  /** DER of SubjectPublicKeyInfo. */
  readonly signKeySpki: Uint8Array;
  /** Uncompressed P-256 point. */
  readonly agreeKey: Uint8Array | undefined;
  /** DER, leaf first. */
  readonly certificates: readonly Uint8Array[];
  readonly certificateSha256: Uint8Array;
  readonly certificateNotAfterMs: number;
  /** Who the element is among our devices; made at import for foreign manifests. */
  readonly birth: BirthMembers | undefined;
}

/**
 * What `push` gives is verified entry by entry, the whole only when `end` has nothing to refuse: an import
 * asks for the token of `ManifestVerifier`. Spent by its first refusal and by `end`.
 */
export class ManifestReader {
  readonly #trust: ManifestTrust;
  readonly #ports: ManifestPorts;
  readonly #signers: ManifestSigners;
  readonly #rules: PathRules;
  readonly #splitter = new EntrySplitter();
  readonly #taken = new Map<string, number>();
  #index = 0;
  #spent = false;

  /** Throws where a pinned signer is of no use, see `ManifestSigners`, or an anchor is no certificate. */
  constructor(trust: ManifestTrust, ports: ManifestPorts) {
    this.#trust = trust;
    this.#ports = ports;
    this.#signers = new ManifestSigners(trust.signers, ports.crypto);
    const anchors = trust.anchors.map((der) => ({
      certificate: parseCertificate(der),
      kinds: ['idevid'] as const,
    }));
    this.#rules = { anchors, intermediates: [] };
  }

  /** The next bytes of the file, of any length; the elements whose entries end in them. */
  push(chunk: Uint8Array): readonly ImportedElement[] | ManifestRefused {
    const elements: ImportedElement[] = [];
    const refused = this.#guarded(() => {
      for (const text of this.#splitter.push(chunk)) {
        this.#index = text.index;
        const outcome = this.#verify(readEntry(text));
        if (isRefusal(outcome)) return { ...outcome, entry: text.index };
        elements.push(outcome);
      }
      return undefined;
    });
    return refused ?? elements;
  }

  /** The file ends here. */
  end(): ManifestRefused | undefined {
    const refused = this.#guarded(() => {
      this.#splitter.end();
      return undefined;
    });
    this.#spent = true;
    return refused;
  }

  #verify(entry: SignedEntry): ImportedElement | Refusal<ManifestRefusal> {
    const refused = this.#signers.refusal(entry);
    if (refused !== undefined) return refused;
    if (!equal(entry.headerUniqueId, entry.record.uniqueId)) {
      return refuse('wrong-identity', 'header and payload name different unique ids');
    }
    const element = this.#element(entry.record);
    return isRefusal(element) ? element : (this.#duplicate(entry, element) ?? element);
  }

  #element(record: ElementRecord): ImportedElement | Refusal<ManifestRefusal> {
    const { crypto, verifier } = this.#ports;
    for (const { slot, point } of record.keys) {
      if (crypto.importPublicKey('P-256', point) === undefined) {
        return refuse('wrong-key', `the key of slot ${slot} is not a point of P-256`);
      }
    }
    const kind = kindOf(this.#trust.format, record);
    if (isRefusal(kind)) return kind;
    const { certificates } = kind.signKey;
    const chain = certificates.map(parseCertificate);
    const [certificate] = chain;
    if (certificate === undefined) return refuse('wrong-key', 'the sign key has no certificate');
    const signKeySpki = p256Spki(kind.signKey.point);
    if (!equal(certificate.publicKey.spki, signKeySpki)) {
      return refuse('wrong-key', 'the certificate is for another key than its slot holds');
    }
    const { birth } = record;
    if (birth !== undefined && !namesBirth(certificate.subject, birth.deviceId, record.uniqueId)) {
      return refuse('wrong-identity', 'the certificate names another device');
    }
    // Judged when the element was made: these certificates outlive their log signer by decades, and an
    // authority that has ended since was right to certify then.
    const path = verifyPath(chain, this.#rules, verifier, record.provisionedMs);
    if (isRefusal(path)) {
      const nowhere = path.refused === 'unknown-issuer';
      return refuse(
        'untrusted-certificate',
        nowhere ? 'its certificate has no path to a pinned root' : path.reason,
      );
    }
    return {
      family: kind.family,
      uid: record.uniqueId,
      model: record.model,
      partNumber: record.partNumber,
      groupId: record.groupId,
      provisionedMs: record.provisionedMs,
      proofLevel: kind.proofLevel,
      signKeySpki,
      agreeKey: kind.agreeKey?.point,
      certificates,
      certificateSha256: crypto.hash('SHA-256', certificate.der),
      certificateNotAfterMs: certificate.notAfterMs,
      birth,
    };
  }

  #duplicate(
    { index, record }: SignedEntry,
    { family, uid, birth }: ImportedElement,
  ): Refusal<ManifestRefusal> | undefined {
    const names = [`unique id ${family}:${toHex(uid)}`];
    if (birth !== undefined) {
      names.push(`device id ${birth.deviceId}`, `EUI-64 ${toHex(birth.eui64)}`);
    }
    // Half of the x-coordinate: unlike points differ there, and a million devices have six million keys.
    for (const { point } of record.keys) names.push(`key ${toHex(point.subarray(1, 17))}…`);
    for (const name of names) {
      const other = this.#taken.get(name);
      if (other !== undefined) return refuse('duplicate', `its ${name} is that of entry ${other}`);
      this.#taken.set(name, index);
    }
    return undefined;
  }

  /** Turns what readers throw into a refusal, and says which entry it is about. */
  #guarded(step: () => ManifestRefused | undefined): ManifestRefused | undefined {
    if (this.#spent) throw new TypeError('this manifest was refused or is finished');
    let refused: ManifestRefused | undefined;
    try {
      refused = step();
    } catch (error) {
      refused = this.#refusalOf(error);
    }
    if (refused === undefined) return undefined;
    this.#spent = true;
    this.#taken.clear();
    return { ...refused, reason: `entry ${refused.entry}: ${refused.reason}` };
  }

  #refusalOf(error: unknown): ManifestRefused {
    const entry = error instanceof ManifestFault ? error.entry : this.#index;
    if (error instanceof ManifestFault) {
      const place = error.member === '' ? '' : `${error.member} `;
      return { ...refuse('malformed', `${place}${error.problem}`), entry };
    }
    if (error instanceof MalformedError) return { ...refuse('malformed', error.message), entry };
    if (error instanceof UnsupportedError)
      return { ...refuse('unsupported', error.message), entry };
    throw error;
  }
}

interface Kind {
  readonly birth: BirthMembers | undefined;
  readonly family: string;
  readonly proofLevel: ManifestProofLevel;
  readonly signKey: ManifestKey;
  readonly agreeKey: ManifestKey | undefined;
}

/** What the formats mean by the same members. */
function kindOf(format: ManifestFormat, record: ElementRecord): Kind | Refusal<ManifestRefusal> {
  const { keys, birth } = record;
  const keyOf = (slot: string): ManifestKey | undefined => keys.find((key) => key.slot === slot);
  if (format === 'microchip') {
    const signKey = keyOf('0');
    const family = microchipFamilies.find((name) => record.model.toLowerCase().startsWith(name));
    if (family === undefined) return refuse('unsupported', `model ${record.model} is not known`);
    if (signKey === undefined) return refuse('wrong-key', 'slot 0 is missing');
    // Slots 2 to 4 may be written again in the field: none of them is a device's agree key by birth.
    // Birth members would be somebody else's claim to one of our device ids.
    return {
      family,
      birth: undefined,
      proofLevel: 'vendor-anchored',
      signKey,
      agreeKey: undefined,
    };
  }
  const signKey = keyOf('sign');
  if (birth === undefined)
    return refuse('malformed', 'deviceId and the other birth members are missing');
  if (signKey === undefined) return refuse('wrong-key', 'the sign key is missing');
  const { family, proofLevel } = birth;
  return { family, birth, proofLevel, signKey, agreeKey: keyOf('agree') };
}

const microchipFamilies = ['atecc608', 'ecc204', 'ecc206', 'ta010', 'ta100', 'ta101'] as const;
