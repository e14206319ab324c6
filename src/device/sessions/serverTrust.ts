/**
 * The server known by its chain: what is asked for in message_1, and which credential of message_2 will do.
 * A sensor that pins its server is given none of it, and leaves its code out.
 */
import { empty, equal } from '../../wire/bytes/bytes.ts';
import type { Crypto } from '../../wire/crypto/crypto.ts';
import type { Credential } from '../../wire/edhoc/credential.ts';
import type { EadItem } from '../../wire/edhoc/ead.ts';
import type { CredentialReference } from '../../wire/edhoc/idCred.ts';
import type { ResponderCredentialNeeded } from '../../wire/edhoc/initiator.ts';
import { type EdhocRefusal, refuse } from '../../wire/edhoc/refusal.ts';
import { credentialRequest, type ServerProofCodePoints } from '../../wire/edhoc/serverStatus.ts';
import type { JudgedServer } from '../identity/serverCertificate.ts';
import type { ServerMemory, ServerNews } from '../identity/serverMemory.ts';
import type { FreshStatus } from '../identity/serverStatus.ts';

export interface ServerTrust {
  /** For EAD_1. */
  request(): Promise<readonly EadItem[]>;
  judge(read: ResponderCredentialNeeded): Promise<TrustedServer | EdhocRefusal>;
  /** To be called when the server has shown its keys. */
  finished(): Promise<void>;
}

export interface TrustedServer {
  readonly credential: Credential;
  /** To be called when it has proven its key, before message_3 leaves. */
  readonly proven: () => Promise<void>;
}

export interface ChainTrustOptions {
  readonly crypto: Crypto;
  readonly memory: ServerMemory;
  /** `judgeNativeServer` or `judgeServer`, with the anchors of the element and the key use of the method. */
  readonly judge: (reference: CredentialReference) => JudgedServer;
  readonly codePoints: ServerProofCodePoints;
  /** Absent: a word of the authority is not asked for. */
  readonly fresh?: FreshStatus | undefined;
}

export function chainTrust(options: ChainTrustOptions): ServerTrust {
  const { crypto, memory, codePoints, fresh } = options;
  return {
    request: async () => {
      const seen = await memory.seen();
      const known = seen && crypto.hash('SHA-256', seen);
      const items = [credentialRequest(codePoints, known)];
      return fresh === undefined ? items : [...items, fresh.request];
    },
    judge: async (read) => {
      const news = await judged(options, read);
      if ('refused' in news) return news;
      const { credential } = news;
      return { credential, proven: () => memory.prepare(news) };
    },
    finished: () => memory.finish(),
  };
}

async function judged(
  options: ChainTrustOptions,
  read: ResponderCredentialNeeded,
): Promise<(ServerNews & { readonly credential: Credential }) | EdhocRefusal> {
  const { memory, fresh } = options;
  const [reference, ...more] = read.references;
  const whole = reference && (await wholeOf(options, reference));
  const [certificate, ...issuers] =
    whole !== undefined && 'certificates' in whole ? whole.certificates : [];
  if (whole === undefined || certificate === undefined || more.length > 0)
    return no('no certificate');
  const server = options.judge(whole);
  if ('fault' in server) return no(server.fault);
  const limits = await memory.limits(server.anchor);
  const word = fresh?.wordIn(read.ead2, server, {
    certificate,
    hashOfMessage1: read.hashOfMessage1,
  });
  if (fresh !== undefined && word === undefined) return no('fresh status');
  const floor = Math.max(limits.floor, server.floor, word?.floor ?? 0);
  const timeS = Math.max(limits.timeS, word?.timeS ?? 0);
  if (server.generation < floor) return no('an old credential');
  if (server.notAfterMs < timeS * 1000) return no('a credential that has ended');
  const { anchor, credential } = server;
  // By its hash it comes alone: one that needs others beside it is asked for as a whole.
  return {
    anchor,
    credential,
    floor,
    timeS,
    certificate: issuers.length > 0 ? empty : certificate,
  };
}

/** By its hash: the one that was seen last, or none. */
async function wholeOf(
  { crypto, memory }: ChainTrustOptions,
  reference: CredentialReference,
): Promise<CredentialReference | undefined> {
  if (reference.kind !== 'c5t') return reference;
  const seen = await memory.seen();
  const { algorithm, hash } = reference;
  if (seen === undefined || algorithm !== sha256Of64Bits) return undefined;
  const isSeen = equal(hash, crypto.hash('SHA-256', seen).subarray(0, 8));
  return isSeen ? { kind: 'c5c', certificates: [seen] } : undefined;
}

/** SHA-256/64 of the COSE Algorithms registry. */
const sha256Of64Bits = -15;

function no(what: string): EdhocRefusal {
  return refuse('unknown-credential', `the server: ${what}`);
}
