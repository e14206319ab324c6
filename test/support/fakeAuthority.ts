/** The authority behind the local socket, played by the test hierarchy in this process. */
import type {
  Hierarchy,
  IssuedChain,
  ProvisioningAuthority,
  PublishedManifest,
  StationEnrolment,
} from '../../src/trust/ports/authority.ts';
import type {
  LdevidOutcome,
  LdevidRequest,
  SecretHolder,
  SecretOutcome,
  SecretRequest,
} from '../../src/trust/ports/enrolment.ts';
import type { SessionLdevidRequest } from '../../src/trust/ports/sessionEnrolment.ts';
import type { ProfilePolicy } from '../../src/trust/ports/grantStore.ts';
import { EnvironmentError, refuse } from '../../src/trust/ports/faults.ts';
import type { LinkRequest, LinkResponse } from '../../src/trust/ports/link.ts';
import type { LineStep } from '../../src/trust/ports/lineTransport.ts';
import type { AuthorityNotice } from '../../src/trust/ports/registryStore.ts';
import { parseCertificationRequest } from '../../src/wire/x509/certificationRequest.ts';
import { extKeyUsage, keyPurposes, keyUsage } from '../../src/wire/x509/extensions.ts';
import { encodeName } from '../../src/wire/x509/names.ts';
import { IssuedOneByOne } from './issuedOneByOne.ts';
import { ldevidFields, serverFields, type TestPki } from './pki.ts';

export class FakeProvisioningAuthority implements ProvisioningAuthority {
  readonly pki: TestPki;
  readonly told: AuthorityNotice[] = [];
  readonly posts: Array<{ readonly step: LineStep; readonly message: Uint8Array }> = [];
  readonly manifests: PublishedManifest[] = [];
  manifestSigners: readonly Uint8Array[] = [];
  /** DER; by default those of the test hierarchy. */
  roots: readonly Uint8Array[];
  serverIdentity: Uint8Array | undefined;
  profilePolicies: readonly ProfilePolicy[] = [];
  /** By secret. */
  readonly secrets = new Map<string, SecretHolder>();
  issuedServers = 0;
  /** Notices that are taken from one person; `undefined` where one is enough for all. */
  soleLeft: number | undefined;
  away = false;

  constructor(pki: TestPki) {
    this.pki = pki;
    this.roots = [pki.root.certificate.der];
  }

  async hierarchy(): Promise<Hierarchy> {
    this.#reach();
    return {
      roots: this.roots,
      factory: [this.pki.factory.certificate.der],
      operational: [this.pki.operational.certificate.der],
      server: [this.pki.server.certificate.der],
      links: [],
      manifestSigners: this.manifestSigners,
    };
  }

  async issueServer(request: Uint8Array, names: readonly string[]): Promise<IssuedChain> {
    this.#reach();
    this.issuedServers += 1;
    const { publicKey } = parseCertificationRequest(request);
    return this.pki.server.issue(serverFields(names), { spki: publicKey.spki });
  }

  async enrolStation(name: string, request: Uint8Array): Promise<StationEnrolment> {
    const { chain } = await this.#issueNamed('station', name, request);
    const serverAnchors = [this.pki.server.certificate.der];
    return { chain, serverAnchors, orderKeySpki: new Uint8Array(91) };
  }

  issueClient(
    kind: 'application' | 'operator',
    name: string,
    request: Uint8Array,
  ): Promise<IssuedChain> {
    return this.#issueNamed(kind, name, request);
  }

  async #issueNamed(kind: string, name: string, request: Uint8Array): Promise<IssuedChain> {
    this.#reach();
    const { publicKey } = parseCertificationRequest(request);
    const fields = {
      subject: encodeName(['organizationalUnitName', kind], ['commonName', name]),
      extensions: [keyUsage('digitalSignature'), extKeyUsage(keyPurposes.clientAuth)],
    };
    return this.pki.server.issue(fields, { spki: publicKey.spki });
  }

  async policies(): Promise<readonly ProfilePolicy[]> {
    this.#reach();
    return this.profilePolicies;
  }

  async secretHolder(secret: string): Promise<SecretHolder | undefined> {
    this.#reach();
    return this.secrets.get(secret);
  }

  async issueBySecret({ secret, request }: SecretRequest): Promise<SecretOutcome> {
    this.#reach();
    const holder = this.secrets.get(secret);
    return holder === undefined
      ? refuse('bad-secret', 'no such secret')
      : this.#ldevid(holder.deviceId, request);
  }

  async issueLdevid({ deviceId, request }: LdevidRequest): Promise<LdevidOutcome> {
    this.#reach();
    return this.#ldevid(deviceId, request);
  }

  async issueInSession({ deviceId, request }: SessionLdevidRequest): Promise<LdevidOutcome> {
    this.#reach();
    return this.#ldevid(deviceId, request);
  }

  readonly #issued = new IssuedOneByOne();

  #ldevid(deviceId: string, request: Uint8Array): LdevidOutcome {
    const { publicKey } = parseCertificationRequest(request);
    const { spki } = publicKey;
    const issued = this.pki.operational.issue(ldevidFields(deviceId), { spki });
    return this.#issued.take(deviceId, issued.certificate.der);
  }

  async publishServerIdentity(identity: Uint8Array): Promise<void> {
    this.#reach();
    this.serverIdentity = identity;
  }

  async post(step: LineStep, message: Uint8Array): Promise<Uint8Array> {
    this.#reach();
    this.posts.push({ step, message });
    return Uint8Array.of(0x83, ...message);
  }

  async manifestsAfter(sequence: number): Promise<readonly PublishedManifest[]> {
    this.#reach();
    return this.manifests.filter((manifest) => manifest.sequence > sequence);
  }

  async soleChangesLeft(): Promise<number | undefined> {
    this.#reach();
    return this.soleLeft;
  }

  async permitStatusOrder(): Promise<undefined> {
    return undefined;
  }

  async recordRevocations(notices: readonly AuthorityNotice[]): Promise<readonly number[]> {
    this.#reach();
    const taken = notices.slice(0, this.soleLeft);
    if (this.soleLeft !== undefined) this.soleLeft -= taken.length;
    this.told.push(...taken);
    return notices.slice(taken.length).map(({ sequence }) => sequence);
  }

  async recordOrdered(notices: readonly AuthorityNotice[]): Promise<undefined> {
    await this.recordRevocations(notices);
  }

  /** What the local door would answer; a path that nobody has filled in has an empty document. */
  readonly documents = new Map<string, object>();
  readonly asked: LinkRequest[] = [];

  async send(request: LinkRequest): Promise<LinkResponse> {
    this.#reach();
    this.asked.push(request);
    const [path = ''] = request.path.split('?');
    const document = this.documents.get(path);
    const problem = { code: 'unknown-here', detail: 'nothing' };
    const body = new Uint8Array(Buffer.from(JSON.stringify(document ?? problem)));
    return { status: document === undefined ? 404 : 200, body };
  }

  close(): void {}

  #reach(): void {
    if (this.away) throw new EnvironmentError('the authority does not answer', { retryable: true });
  }
}
