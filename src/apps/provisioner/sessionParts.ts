/** What sessions of devices without TLS are given beside telemetry: EST, certificates, and a door of their own. */
import { nodeCrypto } from '../../drivers/keys/software/nodeCrypto.ts';
import { decompressPoint } from '../../drivers/keys/software/points.ts';
import type { SoftwareVerifier } from '../../drivers/keys/software/verifier.ts';
import { HttpCredentialFetcher } from '../../drivers/links/https/credentialFetcher.ts';
import { type CoapDoor, openCoapDoor } from '../../servers/coap/coapDoor.ts';
import { estResource } from '../../servers/coap/est.ts';
import type { WebLink } from '../../servers/coap/linkFormat.ts';
import type { Metrics } from '../../servers/http/metrics.ts';
import { SessionEnrolment } from '../../trust/enrolment/sessionEnrolment.ts';
import type { KeyUse } from '../../trust/peers/pathRules.ts';
import { PeerVerifier } from '../../trust/peers/verifiedPeer.ts';
import type { Hierarchy } from '../../trust/ports/authority.ts';
import type { ChainStore } from '../../trust/ports/chainStore.ts';
import type { Clock } from '../../trust/ports/clock.ts';
import type { SessionEnrolmentAuthority } from '../../trust/ports/sessionEnrolment.ts';
import type { Registry } from '../../trust/registry/registry.ts';
import type { Relay } from '../../trust/relay/relay.ts';
import type { CertificatePorts } from '../../trust/sessions/certificateCredentials.ts';
import { FetchedChains } from '../../trust/sessions/fetchedChains.ts';
import type { SessionResource } from '../../trust/sessions/ports.ts';
import { coapTransfer } from '../../wire/edhoc/carriage.ts';
import { kudosPath, kudosResourceType } from '../../wire/oscore/kudosSupport.ts';
import { rawLinkSuite } from '../../wire/relay/rawLink.ts';
import {
  type CoapEstOperation,
  coapEstPath,
  experimentalC509Formats,
} from '../../wire/est/coapResources.ts';
import type { DoorTrust } from './doorTrust.ts';
import { EstServices } from './estServices.ts';

export interface SessionPartOptions {
  readonly registry: Registry;
  readonly authority: SessionEnrolmentAuthority;
  readonly hierarchy: () => Hierarchy;
  /** Names of those that enrolment gives. */
  readonly deviceProfiles: () => ReadonlySet<string>;
  readonly verifier: SoftwareVerifier;
  readonly trust: DoorTrust;
  readonly metrics: Metrics;
  readonly clock: Clock;
}

const sha256 = (data: Uint8Array): Uint8Array => nodeCrypto.hash('SHA-256', data);
const formats = experimentalC509Formats;

export function sessionResource(options: SessionPartOptions): SessionResource {
  const { registry, authority, hierarchy, deviceProfiles, verifier, metrics } = options;
  const decompress = decompressPoint;
  return estResource({
    enrolment: new SessionEnrolment({ registry, authority, verifier, sha256, decompress }),
    services: new EstServices({ hierarchy, deviceProfiles }),
    formats,
    decompress,
    onRefusal: (code) => metrics.refused('session', code),
    onEnrolled: () => metrics.enrolled(),
  });
}

/** The anchors of the door of devices, whatever the connection is. */
export function certificatePorts(
  options: SessionPartOptions & {
    readonly chains: ChainStore;
    readonly credentialsFrom: readonly string[];
  },
): CertificatePorts {
  const { registry, verifier, clock, trust, chains, credentialsFrom } = options;
  const decompress = decompressPoint;
  const verifierFor = (keyUse: KeyUse): PeerVerifier =>
    new PeerVerifier({ registry, verifier, clock, sha256, decompress }, () => ({
      ...trust.rules('device'),
      keyUse,
    }));
  const peers = { signature: verifierFor('signature'), agreement: verifierFor('agreement') };
  return {
    decompress,
    chains,
    located: new FetchedChains(new HttpCredentialFetcher(), credentialsFrom),
    verify: (chain, use) => peers[use].verifyPeer(chain),
    noteUse: async (peer) => {
      await registry.noteUse(peer);
    },
  };
}

/** `undefined` where none is wanted. Rejects with an `EnvironmentError` when the port is taken. */
export async function openCoap(
  { host, coapPort: port }: { readonly host: string; readonly coapPort?: number },
  relay: Relay,
  metrics: Metrics,
  onTrouble: (name: string, error: unknown) => void,
): Promise<CoapDoor | undefined> {
  if (port === undefined) return undefined;
  return openCoapDoor({
    host,
    port,
    crypto: nodeCrypto,
    sessions: relay,
    longestMessage2Bytes: message2Bytes,
    links,
    onRefusal: (code) => metrics.refused('coap', code),
    onDefect: (error) => onTrouble('coap', error),
  });
}

/** By kid, static Diffie-Hellman, C_R of three bytes. */
const message2Bytes = 48;

/** RFC 9668 §6 and RFC 9148 §4.1; `osc`: with OSCORE alone (RFC 8613 §9). */
const links: readonly WebLink[] = [
  {
    path: `/${coapTransfer.wellKnownPath.join('/')}`,
    attributes: [
      ['rt', coapTransfer.resourceType],
      ['ed-csuite', String(rawLinkSuite)],
      ['ed-method', '3'],
      ['ed-method', '1'],
      ['ed-method', '2'],
      ['ed-method', '0'],
      ['ed-cred-t', '1'],
      ['ed-cred-t', '2'],
      ['ed-idcred-t', '4'],
      ['ed-idcred-t', '22'],
      ['ed-idcred-t', '25'],
      ['ed-idcred-t', '33'],
      ['ed-idcred-t', '34'],
      ['ed-r'],
      ['ed-i'],
      ['ed-comb-req'],
    ],
  },
  { path: `/${kudosPath}`, attributes: [['rt', kudosResourceType], ['osc']] },
  ...(['well-known', 'short'] as const).flatMap((form) => [
    estLink('cacerts', form, '281 287', formats.chain, formats.certificate),
    estLink('simpleenroll', form, '281 287', formats.certificate),
    estLink('simplereenroll', form, '281 287', formats.certificate),
    estLink('csrattrs', form, '285', formats.template),
  ]),
];

function estLink(
  operation: CoapEstOperation,
  form: 'well-known' | 'short',
  registered: string,
  ...drafts: readonly number[]
): WebLink {
  const path = coapEstPath(operation, form);
  const type = `ace.est.${path.slice(path.lastIndexOf('/') + 1)}`;
  const attributes = [['rt', type], ['ct', [registered, ...drafts].join(' ')], ['osc']] as const;
  return { path, attributes };
}
