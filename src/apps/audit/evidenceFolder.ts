/**
 * Evidence of devices as a folder that can be read and checked without this program (docs/evidence.md):
 *
 *     evidence.json          everything that is said, and in which file it is proven
 *     SHA256SUMS             of every other file
 *     authorities/           certificates of the authorities, public keys
 *     certificates/DEVICE/   every certificate that the device ever got
 *     profiles/              what the certificates were made from; the log has the hash of each
 *     tickets/               as the order key signed them
 *     documents/             manifest and yield report of closed batches
 *     approvals/             requests and approvals as operators signed them, and whose keys they have
 *     log/                   checkpoint, key, leaves and their proofs, what witnesses signed
 */
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Hierarchy } from '../../trust/ports/authority.ts';
import type { DeviceEvidence } from '../../trust/ports/evidence.ts';
import { EnvironmentError } from '../../trust/ports/faults.ts';
import type { OrderView } from '../../trust/ports/operatorAuthority.ts';
import type { ProfileView } from '../../trust/ports/profileDesk.ts';
import { toHex } from '../../wire/bytes/hex.ts';
import { toBase64 } from '../../wire/bytes/base64.ts';
import { utf8 } from '../../wire/bytes/utf8.ts';
import { encodeNote, signatureBy, type SignedCheckpoint } from '../../wire/tlog/checkpoint.ts';
import { ed25519Spki, encodeNoteKey } from '../../wire/tlog/noteKey.ts';
import { encodePem } from '../../wire/x509/pem.ts';
import { sha256 } from '../authority/witnesses.ts';
import { entryDocument } from './entryDocument.ts';
import { type ApprovalParts, writeApprovals } from './evidenceApprovals.ts';
import type { FoundLeaf } from './evidenceLeaves.ts';
import { type LogCopy, proofText } from './logCopy.ts';

export interface EvidenceParts extends ApprovalParts {
  /** `{ device }` or `{ batch }`. */
  readonly subject: Readonly<Record<string, string>>;
  readonly organization: string;
  readonly madeMs: number;
  readonly hierarchy: Hierarchy & { readonly orderKeySpki: Uint8Array };
  readonly devices: readonly DeviceEvidence[];
  readonly orders: readonly OrderView[];
  /** Those that the certificates name. */
  readonly profiles: readonly ProfileView[];
  /** Folder of manifests and yield reports. */
  readonly documents: string;
  readonly log: LogCopy;
  readonly checkpoint: SignedCheckpoint;
}

/** Number of files. Rejects with an `EnvironmentError` when the folder is there and not empty. */
export async function writeEvidence(folder: string, parts: EvidenceParts): Promise<number> {
  if (existsSync(folder) && (await readdir(folder)).length > 0) {
    throw new EnvironmentError(`${folder} is not empty`, { retryable: false });
  }
  const files = new Files(folder);
  await writeAuthorities(files, parts.hierarchy);
  await writeLog(files, parts);
  for (const { name, version, text } of parts.profiles) {
    await files.write(`profiles/${name}@${version}.json`, utf8(text));
  }
  const devices: object[] = [];
  for (const device of parts.devices) devices.push(await writeDevice(files, device, parts.leaves));
  const document = {
    format: 'birthmark-evidence-1',
    made: iso(parts.madeMs),
    organization: parts.organization,
    subject: parts.subject,
    approvals: await writeApprovals(files, parts),
    orders: await writeOrders(files, parts),
    devices,
    log: logDocument(parts),
  };
  await files.write('evidence.json', utf8(`${JSON.stringify(document, undefined, 2)}\n`));
  return files.finish();
}

async function writeAuthorities(
  files: Files,
  hierarchy: EvidenceParts['hierarchy'],
): Promise<void> {
  const groups = {
    root: hierarchy.roots,
    factory: hierarchy.factory,
    operational: hierarchy.operational,
    server: hierarchy.server,
    link: hierarchy.links,
    manifest: hierarchy.manifestSigners,
  };
  for (const [name, certificates] of Object.entries(groups)) {
    const pem = certificates.map((der) => encodePem('CERTIFICATE', der)).join('');
    if (pem !== '') await files.write(`authorities/${name}.pem`, utf8(pem));
  }
  const orderKey = encodePem('PUBLIC KEY', hierarchy.orderKeySpki);
  await files.write('authorities/order-key.pem', utf8(orderKey));
}

async function writeLog(files: Files, { log, checkpoint, leaves }: EvidenceParts): Promise<void> {
  const { text, signatures } = checkpoint;
  const { name, keyId, publicKey } = log.key;
  await files.write('log/key', utf8(`${encodeNoteKey(log.key)}\n`));
  await files.write('log/key.pem', utf8(encodePem('PUBLIC KEY', ed25519Spki(publicKey))));
  await files.write('log/checkpoint', utf8(encodeNote(text, signatures)));
  // The same in two parts, for tools that verify a signature over a file.
  await files.write('log/checkpoint.text', utf8(text));
  const signature = signatureBy(checkpoint, name, keyId) ?? new Uint8Array(0);
  await files.write('log/checkpoint.signature', signature);
  for (const { index, bytes } of leaves) {
    await files.write(`log/leaves/${index}`, bytes);
    await files.write(
      `log/proofs/${index}.tlog-proof`,
      utf8(await proofText(log, checkpoint, index)),
    );
  }
  const witnesses = join(log.files.folder, 'witness');
  for (const witness of existsSync(witnesses) ? await readdir(witnesses) : []) {
    if (!/^[0-9a-f]{8}$/.test(witness)) continue;
    await files.write(`log/witness/${witness}`, await readFile(join(witnesses, witness)));
  }
}

async function writeDevice(
  files: Files,
  { deviceId, birth, certificates }: DeviceEvidence,
  leaves: readonly FoundLeaf[],
): Promise<object> {
  const documents: object[] = [];
  for (const { der, serialNumber, issuer, profile, revokedMs, held } of certificates) {
    const file = `certificates/${deviceId}/${toHex(serialNumber)}.pem`;
    await files.write(file, utf8(encodePem('CERTIFICATE', der)));
    const hash = toHex(sha256(der));
    documents.push({
      file,
      sha256: hash,
      issuer,
      profile,
      serialNumber: toHex(serialNumber),
      revoked: revokedMs === undefined ? null : iso(revokedMs),
      held,
      leaves: leaves.flatMap((leaf) =>
        concernsCertificate(leaf, hash, toHex(serialNumber)) ? leaf.index : [],
      ),
    });
  }
  return {
    deviceId,
    birth: birth === undefined ? null : birthDocument(birth),
    certificates: documents,
  };
}

function birthDocument({ order, batch, unit }: NonNullable<DeviceEvidence['birth']>): object {
  return {
    order,
    batch,
    ticket: toHex(unit.ticketId),
    uid: toHex(unit.uid),
    eui64: toHex(unit.eui64),
    model: unit.model,
    firmware: unit.firmware,
    proofLevel: unit.proofLevel,
    state: unit.state,
    reason: unit.reason,
    endorsed: iso(unit.endorsedMs),
  };
}

function concernsCertificate({ entry }: FoundLeaf, sha: string, serialNumber: string): boolean {
  if (entry.kind === 'issued') return toHex(entry.certificateSha256) === sha;
  return 'serialNumber' in entry && toHex(entry.serialNumber) === serialNumber;
}

async function writeOrders(files: Files, parts: EvidenceParts): Promise<readonly object[]> {
  const documents: object[] = [];
  for (const { order, batches, tickets } of parts.orders) {
    for (const { ticketId, signed } of tickets) {
      await files.write(`tickets/${toHex(ticketId)}.cose`, signed);
    }
    for (const { batch } of batches) await copyDocuments(files, parts.documents, batch);
    documents.push({
      ...order,
      eui64First: toHex(order.eui64First),
      serverIdentity: toBase64(order.serverIdentity),
      created: iso(order.createdMs),
      batches: batches.map((batch) => ({
        ...batch,
        closed: batch.closedMs === undefined ? null : iso(batch.closedMs),
      })),
      tickets: tickets.map((ticket) => ({
        file: `tickets/${toHex(ticket.ticketId)}.cose`,
        ticket: toHex(ticket.ticketId),
        batch: ticket.batch,
        count: ticket.count,
        taken: ticket.taken,
        leastProof: ticket.leastProof,
        stationKey: toBase64(ticket.stationKeySpki),
        notBefore: iso(ticket.notBeforeMs),
        notAfter: iso(ticket.notAfterMs),
        closed: ticket.closedMs === undefined ? null : iso(ticket.closedMs),
      })),
    });
  }
  return documents;
}

async function copyDocuments(files: Files, folder: string, batch: string): Promise<void> {
  for (const name of [`${batch}.manifest.json`, `${batch}.yield.json`]) {
    const path = join(folder, name);
    if (existsSync(path)) await files.write(`documents/${name}`, await readFile(path));
  }
}

function logDocument({ log, checkpoint, leaves }: EvidenceParts): object {
  return {
    name: log.key.name,
    treeSize: checkpoint.treeSize,
    root: toHex(checkpoint.root),
    leaves: leaves.map(({ index, bytes }) => ({
      leaf: index,
      file: `log/leaves/${index}`,
      proof: `log/proofs/${index}.tlog-proof`,
      entry: entryDocument(bytes),
    })),
  };
}

function iso(timeMs: number): string {
  return new Date(timeMs).toISOString();
}

/** Writes files and remembers their hashes. */
class Files {
  readonly #folder: string;
  readonly #sums = new Map<string, string>();

  constructor(folder: string) {
    this.#folder = folder;
  }

  async write(path: string, content: Uint8Array): Promise<void> {
    const target = join(this.#folder, path);
    await mkdir(dirname(target), { recursive: true });
    await writeFile(target, content);
    this.#sums.set(path, toHex(sha256(content)));
  }

  async finish(): Promise<number> {
    const lines = [...this.#sums].map(([path, sum]) => `${sum}  ${path}\n`).toSorted();
    await writeFile(join(this.#folder, 'SHA256SUMS'), lines.join(''));
    return this.#sums.size + 1;
  }
}
