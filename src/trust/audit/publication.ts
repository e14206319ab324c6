/**
 * The log as files that anybody can check: tiles first, then the head in the database, then the signed
 * checkpoint. What the database holds decides; where files and database tell two histories nothing is
 * signed, since a log that signs both has lost its worth.
 */
import { equal } from '../../wire/bytes/bytes.ts';
import { toHex } from '../../wire/bytes/hex.ts';
import { MalformedError } from '../../wire/bytes/malformed.ts';
import { utf8 } from '../../wire/bytes/utf8.ts';
import type { Crypto } from '../../wire/crypto/crypto.ts';
import {
  checkpointText,
  encodeNote,
  parseCheckpoint,
  type SignedCheckpoint,
} from '../../wire/tlog/checkpoint.ts';
import type { CompleteHash } from '../../wire/tlog/growingTree.ts';
import { ed25519Key, encodeNoteKey, type NoteKey, noteKey } from '../../wire/tlog/noteKey.ts';
import { tileWidth } from '../../wire/tlog/tile.ts';
import { subtrees, type TreeHash } from '../../wire/tlog/tree.ts';
import type { AuditHead, AuditStore } from '../ports/auditStore.ts';
import { EnvironmentError, InvariantError } from '../ports/faults.ts';
import type { SignatureVerifier, Signer } from '../ports/keys.ts';
import { checkpointFile, keyFile, type TileStore } from '../ports/tileStore.ts';
import { signedBy } from './notes.ts';
import { sameHash, TileEdge } from './tileEdge.ts';

export interface PublicationOptions {
  readonly store: AuditStore;
  readonly tiles: TileStore;
  readonly crypto: Crypto;
  readonly verifier: SignatureVerifier;
  /** Ed25519, a key of its own that signs nothing else. */
  readonly signer: Signer;
}

export class Publication {
  readonly key: NoteKey;
  readonly #options: PublicationOptions;
  readonly #edge: TileEdge;
  #current: SignedCheckpoint | undefined;

  private constructor(options: PublicationOptions, key: NoteKey, edge: TileEdge) {
    this.#options = options;
    this.key = key;
    this.#edge = edge;
  }

  /**
   * Compares the files with the head in the database. `undefined`: there are no files yet, so that the
   * caller has to begin with the first leaf. Rejects with an `EnvironmentError` that says what to do when
   * they contradict each other.
   */
  static async open(
    options: PublicationOptions,
    head: AuditHead | undefined,
  ): Promise<Publication | undefined> {
    const key = logKey(options.crypto, options.signer);
    const treeSize = head?.treeSize ?? 0;
    const published = await publishedCheckpoint(options, key);
    if (published !== undefined) await checkPublished(options.store, published, treeSize);
    const bundle = Math.floor(treeSize / tileWidth) * tileWidth;
    const entries = await options.store.leaves(bundle, tileWidth);
    const lastEntries = entries.slice(0, treeSize - bundle);
    const edge = await TileEdge.load(options.tiles, treeSize, lastEntries);
    if (edge === undefined && published === undefined) return undefined;
    if (edge === undefined) throw contradiction('tiles at the end of the log are missing');
    const hash = hashOf(options.crypto);
    for (const [at, { level, index }] of subtrees(0, treeSize).entries()) {
      if (!sameHash(edge.hashOf(hash, level, index), head?.subtrees[at])) {
        throw contradiction('the tiles at the end of the log are not those of the database');
      }
    }
    const publication = new Publication(options, key, edge);
    publication.#current = published;
    await publication.#writeKey();
    return publication;
  }

  /** Without files, before the first leaf. */
  static async begin(options: PublicationOptions): Promise<Publication> {
    const edge = await TileEdge.load(options.tiles, 0, []);
    if (edge === undefined) throw new InvariantError('an empty log needs no tile');
    const publication = new Publication(options, logKey(options.crypto, options.signer), edge);
    await publication.#writeKey();
    return publication;
  }

  /** What was published last. */
  get current(): SignedCheckpoint | undefined {
    return this.#current;
  }

  append(entry: Uint8Array, made: readonly CompleteHash[]): void {
    this.#edge.append(entry, made);
  }

  /** Durable when it resolves; a second call after a failure writes the same again. */
  async writeTiles(): Promise<void> {
    const { tiles } = this.#options;
    await tiles.write(this.#edge.files());
    await tiles.dropPartials(this.#edge.written());
  }

  /** The head is the database's last one. Ed25519 signs the same text the same way, however often. */
  async publish({ treeSize, root }: AuditHead): Promise<void> {
    const { signer, tiles } = this.#options;
    const { name, keyId } = this.key;
    const text = checkpointText({ origin: name, treeSize, root });
    const signature = await signer.sign(utf8(text));
    const content = utf8(encodeNote(text, [{ keyName: name, keyId, signature }]));
    await tiles.replace({ path: checkpointFile, content });
    this.#current = parseCheckpoint(content);
  }

  #writeKey(): Promise<void> {
    const content = utf8(`${encodeNoteKey(this.key)}\n`);
    return this.#options.tiles.replace({ path: keyFile, content });
  }
}

export function logKey(crypto: Crypto, signer: Signer): NoteKey {
  return logKeyOf(hashOf(crypto), signer.publicKeySpki);
}

/**
 * The log's name comes from its key: no two logs share one, and a log with a new key is a new log
 * (C2SP tlog-checkpoint: the origin is unique). `spki`: Ed25519.
 */
export function logKeyOf(hash: TreeHash, spki: Uint8Array): NoteKey {
  const publicKey = ed25519Key(spki);
  const name = `birthmark.invalid/log/${toHex(hash(publicKey).subarray(0, 8))}`;
  return noteKey(hash, 'log', name, publicKey);
}

function hashOf(crypto: Crypto): TreeHash {
  return (data) => crypto.hash('SHA-256', data);
}

async function publishedCheckpoint(
  { tiles, verifier }: PublicationOptions,
  key: NoteKey,
): Promise<SignedCheckpoint | undefined> {
  const content = await tiles.read(checkpointFile);
  if (content === undefined) return undefined;
  try {
    const note = parseCheckpoint(content);
    if (note.origin === key.name && signedBy(verifier, note, key)) return note;
  } catch (error) {
    if (!(error instanceof MalformedError)) throw error;
  }
  throw contradiction('its checkpoint is not signed by the key of this log');
}

async function checkPublished(
  store: AuditStore,
  published: SignedCheckpoint,
  treeSize: number,
): Promise<void> {
  if (published.treeSize > treeSize) {
    throw contradiction(
      `${published.treeSize} leaves were published, the database has ${treeSize}: an older database was put back`,
    );
  }
  const root = await store.rootAt(published.treeSize);
  if (published.treeSize > 0 && (root === undefined || !equal(root, published.root))) {
    throw contradiction(`the database has another history of ${published.treeSize} leaves`);
  }
}

function contradiction(what: string): EnvironmentError {
  return new EnvironmentError(
    `the log's folder and the database contradict each other: ${what}. Nothing is signed. See docs/audit.md`,
    { retryable: false },
  );
}
