/**
 * Closing a batch: when every identity of it is accounted for, its finished devices go into the manifest
 * and its counts into the yield report, both signed.
 */
import { toBase64url } from '../../wire/bytes/base64.ts';
import { toHex } from '../../wire/bytes/hex.ts';
import { utf8 } from '../../wire/bytes/utf8.ts';
import type { Crypto } from '../../wire/crypto/crypto.ts';
import { fixedSignature } from '../../wire/der/ecdsa.ts';
import type { TicketCounts } from '../../wire/line/reporting.ts';
import { signingInput } from '../../wire/manifest/entry.ts';
import type { ElementRecord, Entity } from '../../wire/manifest/record.ts';
import { formatTimestamp } from '../../wire/manifest/timestamp.ts';
import { type ManifestSigner, prepareEntry } from '../../wire/manifest/writer.ts';
import { parseCertificate } from '../../wire/x509/certificate.ts';
import {
  decodeSubjectKeyIdentifier,
  extensionOids,
  findExtension,
} from '../../wire/x509/extensions.ts';
import type { Approved } from '../approvals/permissions.ts';
import { isSpendingFault, refuseApproval } from '../approvals/refusals.ts';
import { encodeAuditEntry } from '../audit/entry.ts';
import type { SpendingFault } from '../ports/approvalStore.ts';
import type { Clock } from '../ports/clock.ts';
import type { DocumentStore } from '../ports/documentStore.ts';
import { InvariantError, type Refusal, refuse } from '../ports/faults.ts';
import type { Signer } from '../ports/keys.ts';
import type { ClosedBatch } from '../ports/operatorAuthority.ts';
import type { OrderRecord, OrderStore, UnitRecord, UnitState } from '../ports/orderStore.ts';
import type { Birth } from '../issuance/issuer.ts';
import { certificateOf } from './endorse.ts';

export interface ClosingOptions {
  readonly crypto: Crypto;
  readonly clock: Clock;
  readonly store: OrderStore;
  readonly documents: DocumentStore;
  readonly manifestKey: Signer;
  /** DER of the certificate of that key; importers pin it. */
  readonly manifestCertificate: Uint8Array;
  /** DER certificates of the authority of such births and those above it, without the root. */
  readonly chain: (birth: Birth) => readonly Uint8Array[];
  /** Organization of the factory authority. */
  readonly maker: string;
}

export type ClosingRefusal = Refusal<
  'unknown-batch' | 'open-tickets' | 'not-accounted-for' | SpendingFault
>;

/** Closing a closed batch returns what was closed. */
export async function closeBatch(
  options: ClosingOptions,
  { request: { batch: batchName }, spending }: Approved<'batch.close'>,
): Promise<ClosedBatch | ClosingRefusal> {
  const { store, documents, clock } = options;
  const batch = await store.batch(batchName);
  const order = batch && (await store.order(batch.order));
  if (batch === undefined || order === undefined) {
    return refuse('unknown-batch', 'No batch of this name.');
  }
  const { openTickets, ...counts } = await store.countBatch(batchName);
  const refused = refusedByCounts(openTickets, counts);
  if (refused !== undefined) return refused;
  const closed: ClosedBatch = {
    batch: batchName,
    counts,
    void: batch.quantity - counts.issued,
    manifest: `${batchName}.manifest.json`,
    yieldReport: `${batchName}.yield.json`,
  };
  if (batch.closedMs !== undefined) return closed;
  const atMs = clock.nowMs();
  const manifestSha256 = await documents.write(
    closed.manifest,
    manifestChunks(options, order, batchName),
  );
  const report = await signedReport(options, {
    order: order.order,
    product: order.product,
    batch: batchName,
    closed: formatTimestamp(atMs),
    ordered: batch.quantity,
    ...counts,
    void: closed.void,
    reasons: await reasonsOf(store, batchName),
    manifestSha256: toHex(manifestSha256),
  });
  const yieldReportSha256 = await documents.write(closed.yieldReport, single(report));
  // Until here a crash leaves documents that the next close replaces; from here on they are final.
  const entry = encodeAuditEntry({
    kind: 'batch-closed',
    atMs,
    batch: batchName,
    manifestSha256,
    yieldReportSha256,
  });
  const outcome = await store.closeBatch({ batch: batchName, atMs, entry }, spending);
  return isSpendingFault(outcome) ? refuseApproval(outcome) : closed;
}

function refusedByCounts(openTickets: number, counts: TicketCounts): ClosingRefusal | undefined {
  if (openTickets > 0) {
    return refuse('open-tickets', `${openTickets} tickets of the batch are not closed.`);
  }
  const { issued, released, scrapped, returned } = counts;
  const missing = issued - released - scrapped - returned;
  return missing === 0
    ? undefined
    : refuse(
        'not-accounted-for',
        `${missing} of ${issued} identities are neither released, scrapped nor returned.`,
      );
}

/** Units whose entries are signed side by side. */
const pageUnits = 500;

/** An entry a line, one signature each, so that a manifest can be split without its signer. */
async function* manifestChunks(
  options: ClosingOptions,
  order: OrderRecord,
  batch: string,
): AsyncGenerator<string> {
  const signer: ManifestSigner = manifestSigner(options);
  let between = '[\n';
  for await (const units of pages(options.store, batch, 'locked')) {
    const entries = await Promise.all(
      units.map(async (unit) => {
        const unsigned = prepareEntry(recordOf(options, order, batch, unit), signer);
        const signature = await options.manifestKey.sign(unsigned.toBeSigned);
        return unsigned.finish(fixedSignature(signature, 32));
      }),
    );
    for (const entry of entries) {
      yield between + entry;
      between = ',\n';
    }
  }
  yield between === '[\n' ? '[]\n' : '\n]\n';
}

function manifestSigner({ crypto, manifestCertificate }: ClosingOptions): ManifestSigner {
  const { extensions } = parseCertificate(manifestCertificate);
  const identifier = findExtension(extensions, extensionOids.subjectKeyIdentifier);
  if (identifier === undefined) throw new InvariantError('the manifest signer has no identifier');
  return {
    keyId: decodeSubjectKeyIdentifier(identifier.value),
    certificateSha256: crypto.hash('SHA-256', manifestCertificate),
  };
}

function recordOf(
  { chain, maker }: ClosingOptions,
  order: OrderRecord,
  batch: string,
  unit: UnitRecord,
): ElementRecord {
  if (unit.signature === undefined) throw new InvariantError('a locked unit without certificate');
  const certificate = certificateOf(unit.tbs, unit.signature);
  const organization: Entity = { organizationName: maker };
  const signKey = parseCertificate(certificate).publicKey.key;
  const above = chain({ profile: order.profile, product: order.product, batch });
  const { deviceId, eui64, agreeKey, proofLevel } = unit;
  return {
    model: unit.model,
    partNumber: order.partNumber,
    manufacturer: organization,
    provisioner: organization,
    distributor: organization,
    groupId: batch,
    provisionedMs: unit.endorsedMs,
    uniqueId: unit.uid,
    keys: [
      { slot: 'sign', point: signKey, certificates: [certificate, ...above] },
      ...(agreeKey === undefined ? [] : [{ slot: 'agree', point: agreeKey, certificates: [] }]),
    ],
    modelInfo: undefined,
    birth: { deviceId, eui64, product: order.product, batch, family: order.family, proofLevel },
  };
}

/** A flattened JWS (RFC 7515 §7.2.2), of the same key as the manifest. */
async function signedReport(options: ClosingOptions, report: object): Promise<string> {
  const { keyId, certificateSha256 } = manifestSigner(options);
  const header = {
    typ: 'birthmark-yield+json',
    alg: 'ES256',
    kid: toBase64url(keyId),
    'x5t#S256': toBase64url(certificateSha256),
  };
  const encodedHeader = toBase64url(utf8(JSON.stringify(header)));
  const payload = toBase64url(utf8(JSON.stringify(report)));
  const signature = await options.manifestKey.sign(signingInput(encodedHeader, payload));
  return `${JSON.stringify({
    payload,
    protected: encodedHeader,
    signature: toBase64url(fixedSignature(signature, 32)),
  })}\n`;
}

/** How often which reason was given for scrapping or returning a unit. */
async function reasonsOf(
  store: OrderStore,
  batch: string,
): Promise<Record<'scrapped' | 'returned', Record<string, number>>> {
  const reasons = { scrapped: new Map<string, number>(), returned: new Map<string, number>() };
  for (const state of ['scrapped', 'returned'] as const) {
    const counted = reasons[state];
    for await (const units of pages(store, batch, state)) {
      for (const { reason } of units) counted.set(reason, (counted.get(reason) ?? 0) + 1);
    }
  }
  return {
    scrapped: Object.fromEntries(reasons.scrapped),
    returned: Object.fromEntries(reasons.returned),
  };
}

async function* pages(
  store: OrderStore,
  batch: string,
  state: UnitState,
): AsyncGenerator<readonly UnitRecord[]> {
  let after: number | undefined = 0;
  while (after !== undefined) {
    const { units, next }: Awaited<ReturnType<OrderStore['unitsOfBatch']>> =
      await store.unitsOfBatch(batch, { state, after, limit: pageUnits });
    yield units;
    after = next;
  }
}

async function* single(text: string): AsyncGenerator<string> {
  yield text;
}
