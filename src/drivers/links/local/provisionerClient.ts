/** The provisioner, reached over its local socket: what the commands of its operator do. */
import type { Refusal } from '../../../trust/ports/faults.ts';
import type { StationEnrolment } from '../../../trust/ports/authority.ts';
import {
  type CertificateState,
  certificateStates,
  type DeviceRole,
  type DeviceState,
} from '../../../trust/ports/registryStore.ts';
import type { RevocationPlan } from '../../../trust/ports/revocationReport.ts';
import type { StatusOrder, StatusStep } from '../../../trust/ports/statusOrders.ts';
import type { Link } from '../../../trust/ports/link.ts';
import { toBase64 } from '../../../wire/bytes/base64.ts';
import { toHex } from '../../../wire/bytes/hex.ts';
import { type Answer, approvalMember, readAnswer } from './answers.ts';
import { linkTo, type Reach } from './localClient.ts';
import {
  type DevicePageView,
  type DeviceView,
  type EnrolledClient,
  type ProvisionerStatus,
  readDevice,
  readDevicePage,
  readEnrolledClient,
  readMessage,
  readReport,
  readStatus,
  type RevocationView,
  type TelemetryView,
} from './provisionerAnswers.ts';

export interface ManifestImport {
  readonly file: string;
  readonly format: 'microchip' | 'birthmark';
  /** DER of the certificates that may sign entries, and of the roots of the elements. */
  readonly signers: readonly Uint8Array[];
  readonly anchors: readonly Uint8Array[];
  /** For elements of others; by default the part number. */
  readonly product?: string | undefined;
  readonly state: 'expected' | 'released';
}

export interface ManifestSummary {
  readonly imported: number;
  /** Known before, equal in everything. */
  readonly unchanged: number;
}

export class ProvisionerClient {
  readonly #client: Link;

  constructor(reach: Reach) {
    this.#client = linkTo(reach, 'provisioner');
  }

  close(): void {
    this.#client.close();
  }

  status(): Promise<ProvisionerStatus | Refusal<string>> {
    return this.#get('/v1/status', readStatus);
  }

  /** A page of at most a thousand, in order of deviceId. */
  devices(page: {
    after?: string;
    state?: DeviceState;
  }): Promise<DevicePageView | Refusal<string>> {
    const query = new URLSearchParams({ limit: '1000', ...page });
    return this.#get(`/v1/devices?${query.toString()}`, readDevicePage);
  }

  device(deviceId: string): Promise<DeviceView | Refusal<string>> {
    return this.#get(`/v1/devices/${encodeURIComponent(deviceId)}`, readDevice);
  }

  /** The latest messages, newest first. */
  telemetry(deviceId: string): Promise<readonly TelemetryView[] | Refusal<string>> {
    const path = `/v1/devices/${encodeURIComponent(deviceId)}/telemetry?limit=1000`;
    return this.#get(path, (answer) => answer.answers('messages').map(readMessage));
  }

  planRevocation(deviceIds: readonly string[]): Promise<RevocationPlan | Refusal<string>> {
    return this.#post('/v1/devices/plan-revocation', { deviceIds }, readPlan);
  }

  revokeDevices(
    deviceIds: readonly string[],
    reason: string,
  ): Promise<RevocationView | Refusal<string>> {
    return this.#post('/v1/devices/revoke', { deviceIds, reason }, readReport);
  }

  revokeCertificate(sha256Hex: string, reason: string): Promise<RevocationView | Refusal<string>> {
    return this.#post(`/v1/certificates/${sha256Hex}/revoke`, { reason }, readReport);
  }

  hold(sha256Hex: string, reason: string): Promise<undefined | Refusal<string>> {
    return this.#post(`/v1/certificates/${sha256Hex}/hold`, { reason }, nothing);
  }

  reinstate(sha256Hex: string, reason: string): Promise<undefined | Refusal<string>> {
    return this.#post(`/v1/certificates/${sha256Hex}/reinstate`, { reason }, nothing);
  }

  /** One step of an order; `after` is what the step before called `next`. */
  statusStep(
    order: StatusOrder,
    after: string | undefined,
    approval?: Uint8Array,
  ): Promise<StatusStep | Refusal<string>> {
    const { dryRun } = order;
    const body = { ...statusOrderBody(order), dryRun, after, ...approvalMember(approval) };
    return this.#post('/v1/status/orders', body, (answer) => ({
      devices: answer.number('devices'),
      changed: answer.number('changed'),
      certificates: answer.number('certificates'),
      notHere: answer.number('notHere'),
      ended: answer.number('ended'),
      next: answer.has('next') ? answer.text('next') : undefined,
    }));
  }

  /** Returns how many known devices changed; those that come later follow. */
  setProductRole(product: string, role: DeviceRole): Promise<number | Refusal<string>> {
    return this.#post('/v1/products', { product, role }, (answer) => answer.number('changed'));
  }

  /** All or nothing. The provisioner reads and verifies the file itself; its path is absolute. */
  importManifest(order: ManifestImport): Promise<ManifestSummary | Refusal<string>> {
    const { signers, anchors, ...others } = order;
    const body = { ...others, signers: signers.map(toBase64), anchors: anchors.map(toBase64) };
    return this.#post('/v1/manifests', body, (answer) => ({
      imported: answer.number('imported'),
      unchanged: answer.number('unchanged'),
    }));
  }

  /** Imports what the authority has signed since the last time. */
  pullManifests(): Promise<undefined | Refusal<string>> {
    return this.#post('/v1/manifests/pull', {}, nothing);
  }

  enrolApplication(
    kind: 'application' | 'operator',
    name: string,
    request: Uint8Array,
  ): Promise<EnrolledClient | Refusal<string>> {
    const body = { kind, name, request: toBase64(request) };
    return this.#post('/v1/applications', body, readEnrolledClient);
  }

  /** Certified and let in. */
  enrolStation(
    name: string,
    request: Uint8Array,
    approval?: Uint8Array,
  ): Promise<StationEnrolment | Refusal<string>> {
    const body = { name, request: toBase64(request), ...approvalMember(approval) };
    return this.#post('/v1/stations/enrol', body, (answer) => ({
      chain: answer.base64List('chain'),
      serverAnchors: answer.base64List('serverAnchors'),
      orderKeySpki: answer.base64('orderKeySpki'),
    }));
  }

  /** Lets in again what the authority has certified; on the server's machine alone. */
  admitStation(name: string, certificate: Uint8Array): Promise<undefined | Refusal<string>> {
    return this.#post('/v1/stations', { name, certificate: toBase64(certificate) }, nothing);
  }

  certificateState(sha256Hex: string): Promise<CertificateState | Refusal<string>> {
    return this.#get(`/v1/certificates/${sha256Hex}`, (answer) =>
      answer.oneOf('state', certificateStates),
    );
  }

  async #get<Value>(
    path: string,
    read: (answer: Answer) => Value,
  ): Promise<Value | Refusal<string>> {
    return readAnswer(await this.#client.send({ method: 'GET', path }), read);
  }

  async #post<Value>(
    path: string,
    body: object,
    read: (answer: Answer) => Value,
  ): Promise<Value | Refusal<string>> {
    const response = await this.#client.send({
      method: 'POST',
      path,
      contentType: 'application/json',
      body: JSON.stringify(body),
    });
    return readAnswer(response, read);
  }
}

/** As the local doors of both processes read it. */
export function statusOrderBody({ act, scope, code, reason }: Omit<StatusOrder, 'dryRun'>): object {
  const fields = scope.by === 'certificate' ? { by: scope.by, sha256: toHex(scope.sha256) } : scope;
  return { act, code, reason, ...fields };
}

function readPlan(answer: Answer): RevocationPlan {
  return {
    devices: answer.answers('devices').map((device) => ({
      deviceId: device.text('deviceId'),
      revokedAlready: device.oneOf('revokedAlready', [true, false]),
      certificates: device.number('certificates'),
    })),
    unknown: answer.texts('unknown'),
  };
}

function nothing(): undefined {
  return undefined;
}
