/** EST in sessions: the field's devices in a real registry, with an authority that signs what it is asked for. */
import {
  enrolInSession,
  type SessionEnrolmentOptions,
  type SessionEnrolmentOutcome,
  type SessionEnrolmentPorts,
} from '../../src/device/enrolment/sessionEnrolment.ts';
import type { DeviceClock } from '../../src/device/ports/clock.ts';
import type { SessionExchange } from '../../src/device/sessions/transfer.ts';
import { nodeCrypto } from '../../src/drivers/keys/software/nodeCrypto.ts';
import { decompressPoint } from '../../src/drivers/keys/software/points.ts';
import { SoftwareVerifier } from '../../src/drivers/keys/software/verifier.ts';
import { type CoapEstOptions, estResource } from '../../src/servers/coap/est.ts';
import type { EnrolmentPolicy } from '../../src/trust/enrolment/enrolment.ts';
import { SessionEnrolment } from '../../src/trust/enrolment/sessionEnrolment.ts';
import type { LdevidOutcome } from '../../src/trust/ports/enrolment.ts';
import type { SessionLdevidRequest } from '../../src/trust/ports/sessionEnrolment.ts';
import type { SessionResource } from '../../src/trust/sessions/ports.ts';
import { Registry } from '../../src/trust/registry/registry.ts';
import { parseEitherRequest } from '../../src/wire/c509/either.ts';
import { prepareNativeCertificate } from '../../src/wire/c509/native.ts';
import { experimentalC509Formats } from '../../src/wire/est/coapResources.ts';
import { p256Spki } from '../../src/wire/x509/spki.ts';
import { IssuedOneByOne } from './issuedOneByOne.ts';
import type { FieldDevice } from './field.ts';
import { MemoryRegistryStore } from './memoryRegistryStore.ts';
import { type Changes, ldevidFields, type TestPki, testNowMs, testPki } from './pki.ts';
import { importedDevice, sha256Of } from './registrySamples.ts';

export class SessionEnrolmentWorld {
  readonly pki: TestPki = testPki();
  readonly store: MemoryRegistryStore = new MemoryRegistryStore();
  readonly registry: Registry = new Registry(this.store, { nowMs: () => testNowMs });
  readonly requests: SessionLdevidRequest[] = [];
  readonly refusals: string[] = [];
  readonly enrolled: string[] = [];
  /** In place of a signature. */
  answer: ((request: SessionLdevidRequest) => Promise<LdevidOutcome>) | undefined;
  changes: Changes = {};
  authorities: readonly Uint8Array[] = [
    this.pki.root.certificate.der,
    this.pki.operational.certificate.der,
  ];
  popLinking: EnrolmentPolicy['popLinking'] = 'when-present';

  get policy(): EnrolmentPolicy {
    return {
      profile: 'ldevid',
      caCertificates: () => this.authorities,
      popLinking: this.popLinking,
      again: 'allowed',
    };
  }

  readonly issued = new IssuedOneByOne();

  get resource(): SessionResource {
    const sha256 = sha256Of;
    const decompress = decompressPoint;
    const { registry } = this;
    const authority = {
      issueInSession: (request: SessionLdevidRequest): Promise<LdevidOutcome> => {
        this.requests.push(request);
        const issued = (): LdevidOutcome =>
          this.issued.take(request.deviceId, this.certify(request));
        return this.answer?.(request) ?? Promise.resolve(issued());
      },
    };
    const verifier = new SoftwareVerifier();
    const options: CoapEstOptions = {
      enrolment: new SessionEnrolment({ registry, authority, verifier, sha256, decompress }),
      services: new Map([
        ['', this.policy],
        ['bound', { ...this.policy, popLinking: 'required' }],
      ]),
      formats: experimentalC509Formats,
      decompress,
      onRefusal: (code) => this.refusals.push(code),
      onEnrolled: (deviceId) => this.enrolled.push(deviceId),
    };
    return estResource(options);
  }

  certify({ request, deviceId }: SessionLdevidRequest): Uint8Array {
    const { request: parsed, form } = parseEitherRequest(request, decompressPoint);
    const { spki } = parsed.publicKey;
    const { operational } = this.pki;
    const issued = operational.issue(ldevidFields(deviceId), { spki, ...this.changes });
    if (form !== 'native') return issued.certificate.der;
    const unsigned = prepareNativeCertificate(issued.certificate);
    return unsigned.finish(operational.key.sign(unsigned.toBeSigned));
  }

  /** Born here: its IDevID in the element, its keys in the registry. */
  async add(
    device: FieldDevice,
    number: number,
    state: 'expected' | 'released' = 'released',
  ): Promise<void> {
    const { deviceId, element } = device;
    const signKeySpki = p256Spki(element.keys.sign.publicKey);
    const idevid = this.pki.idevid(deviceId, { spki: signKeySpki });
    element.certificates.set('idevid', idevid.chain);
    const agreeKey = element.keys.agree.publicKey;
    const sample = importedDevice(number, { deviceId, signKeySpki, agreeKey }, state);
    // Past the registry: the field's devices are called what no manifest may call them.
    await this.store.importDevices([sample], testNowMs);
  }

  enrol(
    device: FieldDevice,
    exchange: SessionExchange,
    options: Partial<SessionEnrolmentOptions> = {},
    when: 'due' | 'always' = 'due',
    clock: DeviceClock = { nowMs: () => testNowMs },
    more: Pick<SessionEnrolmentPorts, 'exporter'> = {},
  ): Promise<SessionEnrolmentOutcome> {
    const ports = {
      ...more,
      element: device.element,
      crypto: nodeCrypto,
      clock,
      decompress: decompressPoint,
      exchange,
    };
    return enrolInSession(ports, { blockBytes: 16, ...options }, when);
  }
}
