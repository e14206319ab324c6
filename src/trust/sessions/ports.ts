/** What the session service needs of the world, and what it tells it. */
import type { CoapContent } from '../../wire/coap/message.ts';
import type { Crypto } from '../../wire/crypto/crypto.ts';
import type { OwnCredential } from '../../wire/edhoc/credential.ts';
import type { CloneReason, CloneStore } from '../ports/cloneStore.ts';
import type { EvidenceRefusal } from '../ports/attestation.ts';
import type { Clock } from '../ports/clock.ts';
import type { Refusal } from '../ports/faults.ts';
import type { KeyAgreement, SealingKey } from '../ports/keys.ts';
import type { Endpoint, SessionStore } from '../ports/sessionStore.ts';
import type { AttestationPolicy } from './attestations.ts';
import type { CertificatePorts } from './certificateCredentials.ts';
import type { SessionPeer } from './liveSession.ts';
import type { ServerChains } from './ownCredentials.ts';

/** A device that a kid or a key may stand for; `Registry` gives more than this. */
export interface SessionCandidate {
  readonly deviceId: string;
  /** Uncompressed P-256 point of 65 bytes. */
  readonly agreeKey: Uint8Array | undefined;
}

export interface SessionRegistry {
  /** A bounded number of devices that may have sessions; the one at the link address first. */
  candidates(
    kid: Uint8Array,
    linkAddress: Uint8Array | undefined,
  ): Promise<readonly SessionCandidate[]>;
  /** The one with this agree key, an uncompressed point, if it may have sessions. */
  candidateByKey(agreeKey: Uint8Array): Promise<SessionCandidate | undefined>;
  /** Refused for a device that was revoked meanwhile. */
  markEnrolled(deviceId: string): Promise<undefined | Refusal<string>>;
}

export interface AcceptedTelemetry extends Endpoint {
  readonly deviceId: string;
  readonly payload: Uint8Array;
  /**
   * Of the keys: the session's own id, and another one after each update, with which numbers begin again. With
   * the sequence number it names a message for good: after a crash one may be delivered twice.
   */
  readonly sessionId: string;
  readonly sequenceNumber: number;
  readonly receivedMs: number;
}

/**
 * What a device may ask for beside telemetry. The request is authentic, new, whole and without critical
 * options that are not understood. Rejects with an `EnvironmentError` when it cannot be answered now.
 */
export type SessionResource = (peer: SessionPeer, request: CoapContent) => Promise<CoapContent>;

export interface SessionPorts {
  readonly crypto: Crypto;
  readonly clock: Clock;
  readonly registry: SessionRegistry;
  readonly store: SessionStore;
  readonly clones: CloneStore;
  /**
   * Whether nobody else can be alive who writes this store, so that a lease left by a crash is taken at
   * once. Default: yes; processes that share a store say no.
   */
  readonly takeOver?: boolean;
  readonly sealing: SealingKey;
  /** The server's static key, and the credential with its public half that elements pin. */
  readonly agreement: KeyAgreement;
  readonly identity: OwnCredential;
  readonly serve?: SessionResource;
  /** Absent: the server is known by its pinned credential alone. */
  readonly chains?: ServerChains;
  /** Absent: devices authenticate by agree key alone. */
  readonly certificates?: CertificatePorts;
  /** Of KUDOS_EAD, which is not registered. Default: `exampleKudosLabel`. */
  readonly kudosLabel?: number;
  /** Absent: no evidence is asked for. */
  readonly attestation?: AttestationPolicy;
  /** Resolves when the telemetry is safe elsewhere. */
  readonly deliver: (telemetry: AcceptedTelemetry) => Promise<void>;
  readonly observe: (observation: SessionObservation) => void;
}

/**
 * Why a frame led to nothing. No peer is told: on a raw link every refusal looks like a frame that got
 * lost, but for `wrong-suite`, which RFC 9528 §6.3 answers with the suites that we have.
 */
export type FrameRefusal =
  | 'malformed'
  | 'unsupported'
  | 'busy'
  | 'wrong-suite'
  | 'handshake-refused'
  | 'unknown-connection'
  | 'unknown-credential'
  | 'not-authentic'
  /** The device, and no evidence of it that would do. */
  | 'not-attested'
  | 'peer-error'
  | 'exhausted'
  | 'endpoint-full'
  | 'device-refused'
  | 'lost-race'
  /** Another process has the sessions of this store. */
  | 'not-owner'
  /** Authentic, and perhaps older than what the store forgot: it was asked for proof. */
  | 'unsynchronized'
  | 'not-a-request'
  | 'replay'
  /** Authentic, and not from the device as we know it: see `CloneEvidence`. */
  | 'clone'
  | 'decryption-failed'
  | 'key-worn-out'
  | 'delivery-failed'
  /** A store or key port failed; the frame may be sent again. */
  | 'environment';

/**
 * Somebody else has the device's keys, or the device was put back to an earlier state: an authentic message
 * with a number that was used for another one, or under keys that the device had left for newer ones. Told
 * to a person; nothing is decided by it.
 */
export interface CloneEvidence {
  readonly kind: 'clone-evidence';
  readonly endpoint: Endpoint;
  readonly deviceId: string;
  readonly sessionId: string;
  readonly sequenceNumber: number;
  readonly reason: CloneReason;
}

export type SessionObservation =
  | { readonly kind: 'refused'; readonly code: FrameRefusal; readonly endpoint: Endpoint }
  /** A frame that came before: its stored answer went out again. */
  | { readonly kind: 'duplicate'; readonly endpoint: Endpoint }
  | { readonly kind: 'handshake-began'; readonly endpoint: Endpoint; readonly evicted: number }
  | {
      readonly kind: 'session-began';
      readonly endpoint: Endpoint;
      readonly deviceId: string;
      readonly sessionId: string;
      readonly resumed: boolean;
    }
  /** The device has used the new keys: what came before is superseded. */
  | {
      readonly kind: 'session-confirmed';
      readonly endpoint: Endpoint;
      readonly deviceId: string;
      readonly sessionId: string;
    }
  /** The device went over to the next epoch of its keys, or to what KUDOS made of them. */
  | {
      readonly kind: 'keys-updated';
      readonly endpoint: Endpoint;
      readonly deviceId: string;
      readonly by: 'epoch' | 'kudos';
    }
  /** Authenticated, and refused for the evidence that it gave, or did not give. */
  | {
      readonly kind: 'not-attested';
      readonly endpoint: Endpoint;
      readonly deviceId: string;
      readonly reason: EvidenceRefusal | 'missing';
    }
  /** The store had been put back: the device was asked to prove that it is there now. */
  | { readonly kind: 'challenged'; readonly endpoint: Endpoint; readonly deviceId: string }
  | CloneEvidence
  | {
      readonly kind: 'session-ended';
      readonly deviceId: string;
      /** `not-attested`: evidence is demanded now, and what the session rests on does not count. */
      readonly reason: 'worn-out' | 'not-attested';
    };

export interface SessionLimits {
  readonly handshakesPerEndpoint: number;
  readonly handshakesPerIngress: number;
  readonly sessionsPerEndpoint: number;
  /** How long a handshake may take: radios with a few messages a day are honest too. */
  readonly handshakeLifetimeMs: number;
  /** The same where the peer has no link address: on IP, where an answer takes seconds and anybody may begin. */
  readonly roamingHandshakeLifetimeMs: number;
  /** How long resumption goes on before a device has to prove its long-term key again. */
  readonly resumptionLifetimeMs: number;
  /** How long keys of superseded sessions are kept, to recognize clones. Forward secrecy waits for it. */
  readonly supersededLifetimeMs: number;
  /** How long a process that died keeps others from its sessions. */
  readonly leaseMs: number;
  /** Sessions whose keys are in memory; the others are read from the store when a frame comes. */
  readonly cachedSessions: number;
}

export const sessionLimits: SessionLimits = {
  handshakesPerEndpoint: 3,
  handshakesPerIngress: 1024,
  sessionsPerEndpoint: 8,
  handshakeLifetimeMs: 7 * 86_400_000,
  roamingHandshakeLifetimeMs: 5 * 60_000,
  resumptionLifetimeMs: 90 * 86_400_000,
  supersededLifetimeMs: 86_400_000,
  leaseMs: 30_000,
  cachedSessions: 20_000,
};
