/** What the local door may do, and how: one place where an operator's acts meet registry and authority. */
import { nodeCrypto } from '../../drivers/keys/software/nodeCrypto.ts';
import type { SoftwareVerifier } from '../../drivers/keys/software/verifier.ts';
import type { EnrolledClient } from '../../servers/http/clients.ts';
import type { ResourceActs } from '../../servers/http/resources.ts';
import type { ProvisionerActs } from '../../servers/local/provisioner.ts';
import { verifyPath } from '../../trust/peers/paths.ts';
import type {
  Hierarchy,
  ProvisioningAuthority,
  StationEnrolment,
} from '../../trust/ports/authority.ts';
import type { Clock } from '../../trust/ports/clock.ts';
import { isRefusal, type Refusal, refuse } from '../../trust/ports/faults.ts';
import type { CertificateKind } from '../../trust/ports/registryStore.ts';
import type { TelemetryStore } from '../../trust/ports/telemetryStore.ts';
import type { ReadTokens } from '../../trust/registry/readTokens.ts';
import type { CertificateRefusal, Registry } from '../../trust/registry/registry.ts';
import type { Heard, ListsState, RevocationReport } from '../../trust/ports/revocationReport.ts';
import type { Revocation } from '../../trust/revocation/revocation.ts';
import type { SoleTurns } from '../../trust/revocation/soleTurns.ts';
import { noExpirationMs } from '../../wire/der/time.ts';
import { toHex } from '../../wire/bytes/hex.ts';
import { parseCertificate } from '../../wire/x509/certificate.ts';
import type { DoorTrust } from './doorTrust.ts';
import type { Manifests } from './manifests.ts';
import type { Stores } from './stores.ts';

export type Revoke = (
  deviceIds: readonly string[],
  reason: string,
) => Promise<RevocationReport | Refusal<string>>;

export interface ActOptions {
  readonly registry: Registry;
  readonly tokens: ReadTokens;
  readonly telemetry: TelemetryStore;
  readonly stores: Pick<Stores, 'clones'>;
  readonly revocation: Revocation;
  readonly revoke: Revoke;
  /** What one person may do alone. */
  readonly turns: SoleTurns;
  readonly manifests: Manifests;
  readonly authority: ProvisioningAuthority;
  readonly hierarchy: () => Hierarchy;
  readonly trust: DoorTrust;
  readonly verifier: SoftwareVerifier;
  readonly clock: Clock;
  /** The outbox has something to tell. */
  readonly onRevoked: () => void;
  /** What came of it at the authority for devices or certificates, as notices name them. */
  readonly listsOf: (subjects: readonly string[]) => Promise<ListsState>;
  readonly statusStep: ResourceActs['statusStep'];
  readonly status: () => Promise<object>;
}

export function localActs(options: ActOptions): ProvisionerActs {
  const { registry, telemetry, manifests } = options;
  return {
    resources: {
      devices: registry,
      clones: options.stores.clones,
      telemetry,
      acts: resourceActs(options),
    },
    clients: {
      tokens: options.tokens,
      enrolApplication: (name, kind, request) => enrolClient(options, name, kind, request),
      enrolStation: (name, request, approval) => enrolStation(options, name, request, approval),
    },
    setProductRole: (product, role) => registry.setProductRole(product, role),
    importManifest: (order) => manifests.importFile(order),
    admitStation: (name, certificate) => admitStation(options, name, certificate),
    status: options.status,
  };
}

const tooMany = refuse(
  'approval-needed',
  'More devices than one person may revoke: birthmark revoke.',
);
const noneLeft = refuse(
  'approval-needed',
  'One person may take no more holds back today: POST /status/orders with an approval, or birthmark reinstate.',
);

function resourceActs(options: ActOptions): ResourceActs {
  const { registry, revocation, manifests, turns } = options;
  /** Told whatever came of it: a refusal may have found what was changed before. */
  const heard = async <Report extends object>(
    outcome: Report | Refusal<string>,
    subjects: readonly string[],
  ): Promise<(Report & Heard) | Refusal<string>> => {
    options.onRevoked();
    if (isRefusal(outcome)) return outcome;
    return { ...outcome, lists: await options.listsOf(subjects) };
  };
  const revokeThem: ResourceActs['revokeDevices'] = async (deviceIds, reason) =>
    heard(await options.revoke(deviceIds, reason), deviceIds);
  return {
    revokeDevice: (deviceId, reason) => revokeThem([deviceId], reason),
    planRevocation: (deviceIds) => revocation.plan(deviceIds),
    revokeDevices: async (deviceIds, reason) => {
      const wanted = [...new Set(deviceIds)];
      if (wanted.length === 1) return revokeThem(wanted, reason);
      const outcome = await turns.take(async (left) =>
        left !== undefined && wanted.length > left ? tooMany : options.revoke(wanted, reason),
      );
      return heard(outcome, wanted);
    },
    revokeCertificate: async (sha256, reason) =>
      heard(await revocation.revokeCertificate(sha256, reason), [toHex(sha256)]),
    hold: async (sha256, reason) => {
      const refusal = await registry.hold(sha256, reason);
      if (refusal === undefined) await revocation.disconnectCertificate(sha256);
      return heard(refusal ?? {}, [toHex(sha256)]);
    },
    // It gives power back, so that nothing is done here that lists and answers would not follow.
    reinstate: async (sha256, reason) => {
      const refusal = await turns.take(async (left) => {
        if (left === 0) return noneLeft;
        const forbidden = await registry.reinstate(sha256, reason);
        if (forbidden === undefined) await revocation.disconnectCertificate(sha256);
        return forbidden;
      });
      return heard(refusal ?? {}, [toHex(sha256)]);
    },
    statusStep: options.statusStep,
    pullManifests: () => manifests.pull(),
  };
}

async function enrolClient(
  { authority, registry, hierarchy }: ActOptions,
  name: string,
  kind: 'application' | 'operator',
  request: Uint8Array,
): Promise<EnrolledClient | Refusal<string>> {
  const issued = await authority.issueClient(kind, name, request);
  if (isRefusal(issued)) return issued;
  const [leaf] = issued.chain;
  // A crash here leaves a certificate that no door knows; enrolling again gives another one.
  const refusal = leaf === undefined ? undefined : await enter(registry, kind, name, leaf);
  const { server: serverAnchors, roots } = hierarchy();
  return refusal ?? { chain: issued.chain, serverAnchors, roots };
}

async function enrolStation(
  options: ActOptions,
  name: string,
  request: Uint8Array,
  approval: Uint8Array | undefined,
): Promise<StationEnrolment | Refusal<string>> {
  const enrolled = await options.authority.enrolStation(name, request, approval);
  if (isRefusal(enrolled)) return enrolled;
  const [leaf] = enrolled.chain;
  // A crash here leaves a certificate that no door knows; it is renewed, with another approval.
  const refusal = leaf === undefined ? undefined : await admitStation(options, name, leaf);
  return refusal ?? enrolled;
}

/** The authority has certified the station; here it is checked once, and known from then on. */
async function admitStation(
  { registry, trust, verifier, clock }: ActOptions,
  name: string,
  certificate: Uint8Array,
): Promise<undefined | Refusal<string>> {
  const chain = [parseCertificate(certificate)];
  const path = verifyPath(chain, trust.rules('station'), verifier, clock.nowMs());
  return isRefusal(path) ? path : enter(registry, 'station', name, certificate);
}

function enter(
  registry: Registry,
  kind: CertificateKind,
  holder: string,
  certificate: Uint8Array,
): Promise<undefined | Refusal<CertificateRefusal>> {
  const { notAfterMs } = parseCertificate(certificate);
  return registry.addCertificate({
    sha256: nodeCrypto.hash('SHA-256', certificate),
    kind,
    holder,
    notAfterMs: notAfterMs < noExpirationMs ? notAfterMs : undefined,
  });
}
