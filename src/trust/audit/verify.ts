/**
 * Checks a log from its files: every entry against the tiles, the tiles against the checkpoint, and the
 * checkpoint against what witnesses saw. The tree is computed anew from the entries; nothing stored is
 * believed but the signatures. It names the first leaf that is not as it was.
 */
import { equal } from '../../wire/bytes/bytes.ts';
import { MalformedError } from '../../wire/bytes/malformed.ts';
import { parseCheckpoint, type SignedCheckpoint } from '../../wire/tlog/checkpoint.ts';
import type { NoteKey } from '../../wire/tlog/noteKey.ts';
import { parseEntries, parseTilePath, tilePath, tileWidth } from '../../wire/tlog/tile.ts';
import { hashLength, type TreeHash } from '../../wire/tlog/tree.ts';
import { GrowingTree } from '../../wire/tlog/growingTree.ts';
import type { SignatureVerifier } from '../ports/keys.ts';
import { checkpointFile, type LogFile, type LogFiles } from '../ports/tileStore.ts';
import { signedBy, witnessedAt } from './notes.ts';
import { readTile, TileEdge } from './tileEdge.ts';

/** A checkpoint that somebody else kept. */
export interface SeenCheckpoint {
  /** For people: whose copy it is. */
  readonly source: string;
  readonly note: Uint8Array;
  /** Its cosignature is required too. */
  readonly witness?: NoteKey;
}

export interface VerifyOptions {
  readonly files: LogFiles;
  readonly hash: TreeHash;
  readonly verifier: SignatureVerifier;
  readonly key: NoteKey;
  readonly seen: readonly SeenCheckpoint[];
  /** Entries as the authority's database has them, where it is at hand. */
  readonly rows?: (from: number, limit: number) => Promise<readonly Uint8Array[]>;
  readonly onProgress?: (done: number, total: number) => void;
}

export interface LogFault {
  readonly text: string;
  /** The first leaf that may be at fault; `undefined` when no leaf is concerned. */
  readonly leaf: number | undefined;
}

export interface VerifyReport {
  readonly ok: boolean;
  /** In the order they were found, at most 100. */
  readonly faults: readonly LogFault[];
  readonly firstLeaf: number | undefined;
  /** As the checkpoint has it; 0 when it cannot be believed. */
  readonly treeSize: number;
  readonly root: Uint8Array;
  /** What agreed. */
  readonly witnessed: ReadonlyArray<{
    readonly source: string;
    readonly treeSize: number;
    /** When the witness signed it. */
    readonly atMs: number | undefined;
  }>;
}

const maximumFaults = 100;

/** Rejects with an `EnvironmentError` when a file cannot be read; a missing one is a fault. */
export async function verifyLog(options: VerifyOptions): Promise<VerifyReport> {
  const check = new Check(options);
  return check.run();
}

interface Believed {
  readonly source: string;
  readonly note: SignedCheckpoint;
  readonly atMs: number | undefined;
}

class Check {
  readonly #options: VerifyOptions;
  readonly #faults: LogFault[] = [];
  readonly #tree: GrowingTree;
  /** Leaves whose own hash was found wrong: what is above them is wrong for no other reason. */
  readonly #wrongLeaves: number[] = [];
  #lastGood = 0;
  readonly #witnessed: Array<VerifyReport['witnessed'][number]> = [];

  constructor(options: VerifyOptions) {
    this.#options = options;
    this.#tree = new GrowingTree(options.hash);
  }

  async run(): Promise<VerifyReport> {
    const { files, seen } = this.#options;
    const content = await files.read(checkpointFile);
    const own =
      content === undefined ? undefined : this.#believe({ source: checkpointFile, note: content });
    if (content === undefined) this.#fault('the checkpoint is missing', undefined);
    const others = seen.flatMap((one) => this.#believe(one) ?? []);
    if (own !== undefined) await this.#walk(own, others);
    const leaves = this.#faults.flatMap(({ leaf }) => leaf ?? []);
    return {
      ok: this.#faults.length === 0,
      faults: this.#faults,
      firstLeaf: leaves.length === 0 ? undefined : Math.min(...leaves),
      treeSize: own?.note.treeSize ?? 0,
      root: own?.note.root ?? new Uint8Array(0),
      witnessed: this.#witnessed,
    };
  }

  #believe({ source, note, witness }: SeenCheckpoint): Believed | undefined {
    const { verifier, key } = this.#options;
    let parsed: SignedCheckpoint;
    try {
      parsed = parseCheckpoint(note);
    } catch (error) {
      if (!(error instanceof MalformedError)) throw error;
      return this.#fault(`${source}: no checkpoint: ${error.message}`, undefined);
    }
    if (parsed.origin !== key.name) {
      return this.#fault(`${source}: a checkpoint of another log, ${parsed.origin}`, undefined);
    }
    if (!signedBy(verifier, parsed, key)) {
      return this.#fault(`${source}: the signature of the log is wrong`, undefined);
    }
    const seconds = witness === undefined ? undefined : witnessedAt(verifier, parsed, witness);
    if (witness !== undefined && seconds === undefined) {
      return this.#fault(`${source}: the signature of the witness is wrong`, undefined);
    }
    return { source, note: parsed, atMs: seconds === undefined ? undefined : seconds * 1000 };
  }

  async #walk(own: Believed, others: readonly Believed[]): Promise<void> {
    const { files, onProgress } = this.#options;
    const total = own.note.treeSize;
    const marks = [own, ...others].toSorted(
      (left, right) => left.note.treeSize - right.note.treeSize,
    );
    const edge = await TileEdge.load(files, 0, []);
    for (let tile = 0; tile * tileWidth < total; tile++) {
      const width = Math.min(tileWidth, total - tile * tileWidth);
      const leaves = await this.#leaves(tile, width);
      if (leaves === undefined || edge === undefined) return;
      for (const { entry, hash } of leaves) {
        this.#judge(marks, own);
        const made = hash === undefined ? this.#tree.append(entry) : this.#tree.appendHash(hash);
        edge.append(entry, made);
      }
      for (const file of edge.takeFull()) await this.#compareTile(file);
      onProgress?.(tile * tileWidth + width, total);
    }
    // Partial tiles are those of the checkpoint only now.
    for (const file of edge?.files() ?? []) await this.#compareTile(file);
    this.#judge(marks, own);
    for (const { source, note } of marks) {
      this.#fault(
        `${source}: it saw ${note.treeSize} leaves, the log has ${total}: its end was cut off`,
        total,
      );
    }
  }

  /** Takes from `marks` those of the present size and compares their roots. */
  #judge(marks: Believed[], own: Believed): void {
    while (marks[0]?.note.treeSize === this.#tree.size) {
      const [mark] = marks.splice(0, 1);
      if (mark === undefined) return;
      const { source, note, atMs } = mark;
      if (!equal(note.root, this.#tree.root())) this.#wrongRoot(source, note.treeSize);
      else {
        this.#lastGood = Math.max(this.#lastGood, note.treeSize);
        if (mark !== own) this.#witnessed.push({ source, treeSize: note.treeSize, atMs });
      }
    }
  }

  #wrongRoot(source: string, treeSize: number): void {
    const from = this.#lastGood;
    const exact = this.#faults.flatMap(({ leaf }) => leaf ?? []).some((leaf) => leaf >= from);
    const where = `${treeSize - from === 1 ? 'leaf' : 'the first of the leaves'} ${
      treeSize - from === 1 ? from : `${from} to ${treeSize - 1} that differs`
    }`;
    this.#fault(
      `${source}: the entries do not give its root of ${treeSize} leaves${exact ? '' : `: ${where}`}`,
      exact ? undefined : from,
    );
  }

  /** The entries of one bundle, or their hashes where it is missing; `undefined` when those are too. */
  async #leaves(
    index: number,
    width: number,
  ): Promise<ReadonlyArray<{ entry: Uint8Array; hash: Uint8Array | undefined }> | undefined> {
    const first = index * tileWidth;
    const entries = await this.#bundle(index, width);
    await this.#compareRows(first, entries);
    if (entries.length === width) return entries.map((entry) => ({ entry, hash: undefined }));
    const hashes = await readTile(this.#options.files, { level: 0, index, width });
    if (hashes === undefined) {
      return this.#fault(
        `neither entries nor tile of the leaves from ${first} on are there`,
        first,
      );
    }
    this.#fault(
      `the bundle of the leaves from ${first} on has ${entries.length} entries of ${width}`,
      first + this.#sameAtFront(entries, hashes),
    );
    return hashes.map((hash) => ({ entry: new Uint8Array(0), hash }));
  }

  async #bundle(index: number, width: number): Promise<readonly Uint8Array[]> {
    const { files } = this.#options;
    const content =
      (await files.read(tilePath({ level: 'entries', index, width }))) ??
      (await files.read(tilePath({ level: 'entries', index, width: tileWidth })));
    if (content === undefined) return [];
    try {
      return parseEntries(content).slice(0, width);
    } catch (error) {
      if (!(error instanceof MalformedError)) throw error;
      return [];
    }
  }

  #sameAtFront(entries: readonly Uint8Array[], hashes: readonly Uint8Array[]): number {
    const differs = entries.findIndex((entry, at) => {
      const tree = new GrowingTree(this.#options.hash);
      const [leaf] = tree.append(entry);
      const expected = hashes[at];
      return leaf === undefined || expected === undefined || !equal(leaf.hash, expected);
    });
    return differs < 0 ? entries.length : differs;
  }

  async #compareRows(first: number, entries: readonly Uint8Array[]): Promise<void> {
    const rows = await this.#options.rows?.(first, entries.length);
    if (rows === undefined) return;
    const differs = entries.findIndex((entry, at) => {
      const row = rows[at];
      return row === undefined || !equal(row, entry);
    });
    if (differs < 0) return;
    this.#fault(`leaf ${first + differs} is not the one of the database`, first + differs);
  }

  /** A tile as the entries give it, against its file. */
  async #compareTile({ path, content }: LogFile): Promise<void> {
    const tile = parseTilePath(path);
    if (tile === undefined || tile.level === 'entries') return;
    const { level, index, width } = tile;
    const found = await readTile(this.#options.files, { level, index, width });
    const span = tileWidth ** level;
    const firstHash = index * tileWidth;
    if (found === undefined) {
      this.#fault(`${path} is missing or too short`, firstHash * span);
      return;
    }
    const differs = found.findIndex((hash, at) => {
      return !equal(hash, content.subarray(at * hashLength, (at + 1) * hashLength));
    });
    if (differs < 0) return;
    const leaf = (firstHash + differs) * span;
    if (this.#wrongLeaves.some((wrong) => wrong >= leaf && wrong < leaf + span)) return;
    this.#wrongLeaves.push(leaf);
    this.#fault(
      level === 0
        ? `leaf ${leaf}: entry and tile do not fit each other`
        : `${path}: the leaves ${leaf} to ${leaf + span - 1} do not give its hash`,
      leaf,
    );
  }

  #fault(text: string, leaf: number | undefined): undefined {
    if (this.#faults.length < maximumFaults) this.#faults.push({ text, leaf });
    return undefined;
  }
}
