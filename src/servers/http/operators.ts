/** Operators by the signature of their connection (RFC 9729), as the authority knows them at this moment. */
import type { FastifyRequest } from 'fastify';
import { TLSSocket } from 'node:tls';
import type { OperatorRecord } from '../../trust/ports/approvalStore.ts';
import type { Clock } from '../../trust/ports/clock.ts';
import type { SignatureVerifier } from '../../trust/ports/keys.ts';
import { equal, equalConstantTime } from '../../wire/bytes/bytes.ts';
import { MalformedError } from '../../wire/bytes/malformed.ts';
import { fromUtf8 } from '../../wire/bytes/utf8.ts';
import {
  concealedContext,
  concealedExporter,
  type ConcealedProof,
  parseConcealed,
  splitExport,
} from '../../wire/http/concealed.ts';
import { signatureAlgorithmOids } from '../../wire/x509/algorithms.ts';
import { parseCertificate } from '../../wire/x509/certificate.ts';
import { p256Spki } from '../../wire/x509/spki.ts';
import type { CallerOptions, SignedOperator } from './callers.ts';

export interface OperatorOptions {
  /** Of the authority; rejects with an `EnvironmentError` when it cannot be reached. */
  readonly operators: () => Promise<readonly OperatorRecord[]>;
  readonly verifier: SignatureVerifier;
  readonly clock: Clock;
}

interface ShownKey {
  readonly name: string;
  readonly spki: Uint8Array;
}

export function operatorVerifier(options: OperatorOptions): CallerOptions['verifyOperator'] {
  const proven = new WeakMap<TLSSocket, { readonly header: string; readonly key: ShownKey }>();
  const current = shared(options.operators);
  return async (request, header) => {
    const { socket } = request.raw;
    if (!(socket instanceof TLSSocket)) return undefined;
    const known = proven.get(socket);
    const key = known?.header === header ? known.key : keyProven(socket, request, header, options);
    if (key === undefined) return undefined;
    proven.set(socket, { header, key });
    // The key is proven once a connection, who holds it counts anew with every request.
    return standingOf(await current(), key, options.clock.nowMs());
  };
}

/** The key that the header proves for this connection. */
function keyProven(
  socket: TLSSocket,
  request: FastifyRequest,
  header: string,
  { verifier }: OperatorOptions,
): ShownKey | undefined {
  const proof = proofIn(header);
  const target = targetOf(request);
  const name = proof && fromUtf8(proof.keyId);
  if (proof === undefined || target === undefined || name === undefined) return undefined;
  const context = concealedContext({ ...proof, ...target });
  const { label, lengthBytes } = concealedExporter;
  const exported = socket.exportKeyingMaterial(lengthBytes, label, Buffer.from(context));
  const { toBeSigned, verification } = splitExport(new Uint8Array(exported));
  if (!equalConstantTime(verification, proof.verification)) return undefined;
  const spki = p256Spki(proof.publicKey);
  const algorithm = signatureAlgorithmOids['ecdsa-with-SHA256'];
  return verifier.verify(spki, algorithm, toBeSigned, proof.signature) ? { name, spki } : undefined;
}

function standingOf(
  operators: readonly OperatorRecord[],
  { name, spki }: ShownKey,
  nowMs: number,
): SignedOperator | undefined {
  const operator = operators.find((one) => one.name === name && one.revokedMs === undefined);
  if (operator === undefined) return undefined;
  const { publicKey, notBeforeMs, notAfterMs } = parseCertificate(operator.certificate);
  const counts = equal(publicKey.spki, spki) && notBeforeMs <= nowMs && nowMs <= notAfterMs;
  return counts ? { name, roles: operator.roles.map(({ role }) => role) } : undefined;
}

function proofIn(header: string): ConcealedProof | undefined {
  try {
    return parseConcealed(header);
  } catch (error) {
    // RFC 9729 §6.1: what does not parse was not sent.
    if (error instanceof MalformedError) return undefined;
    throw error;
  }
}

/** As the client named this server. */
function targetOf({
  headers,
}: FastifyRequest): { readonly host: string; readonly port: number } | undefined {
  const [, host, port = '443'] =
    /^(\[[\da-f:.]+\]|[\w.-]+)(?::(\d{1,5}))?$/i.exec(headers.host ?? '') ?? [];
  return host === undefined || Number(port) > 0xffff ? undefined : { host, port: Number(port) };
}

/** Strangers can make us ask: whoever comes while a question is under way shares its answer. */
function shared<Value>(ask: () => Promise<Value>): () => Promise<Value> {
  let asked: Promise<Value> | undefined;
  return () => {
    asked ??= ask().finally(() => {
      asked = undefined;
    });
    return asked;
  };
}
