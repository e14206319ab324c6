/** The authority's records of devices, over its local socket. */
import type {
  DeviceEvidence,
  EvidenceCertificate,
  EvidenceCursor,
  EvidenceDesk,
  EvidencePage,
} from '../../../trust/ports/evidence.ts';
import { EnvironmentError, isRefusal, type Refusal } from '../../../trust/ports/faults.ts';
import { unitStates } from '../../../trust/ports/orderStore.ts';
import type { Link } from '../../../trust/ports/link.ts';
import { proofLevels } from '../../../wire/line/ticket.ts';
import { type Answer, readAnswer } from './answers.ts';
import { linkTo, type Reach } from './localClient.ts';

export class EvidenceClient implements EvidenceDesk {
  readonly #client: Link;

  constructor(reach: Reach) {
    this.#client = linkTo(reach, 'authority');
  }

  close(): void {
    this.#client.close();
  }

  device(deviceId: string): Promise<DeviceEvidence | undefined> {
    return this.#get(`/v1/evidence/devices/${encodeURIComponent(deviceId)}`, readDevice);
  }

  devicesOfBatch(
    batch: string,
    { state, unit }: EvidenceCursor,
  ): Promise<EvidencePage | undefined> {
    const path = `/v1/evidence/batches/${encodeURIComponent(batch)}?state=${state}&unit=${unit}`;
    return this.#get(path, (answer) => ({
      deviceIds: answer.texts('deviceIds'),
      next: answer.isNull('next') ? undefined : readCursor(answer.answer('next')),
    }));
  }

  async #get<Value extends object>(
    path: string,
    read: (answer: Answer) => Value,
  ): Promise<Value | undefined> {
    const outcome: Value | Refusal<string> = readAnswer(
      await this.#client.send({ method: 'GET', path }),
      read,
    );
    if (!isRefusal(outcome)) return outcome;
    if (outcome.refused.startsWith('unknown-')) return undefined;
    throw new EnvironmentError(`the authority answered ${outcome.refused}: ${outcome.reason}`, {
      retryable: false,
    });
  }
}

function readCursor(answer: Answer): EvidenceCursor {
  return { state: answer.number('state'), unit: answer.number('unit') };
}

function readDevice(answer: Answer): DeviceEvidence {
  return {
    deviceId: answer.text('deviceId'),
    birth: answer.isNull('birth') ? undefined : readBirth(answer.answer('birth')),
    certificates: answer.answers('certificates').map(readCertificate),
  };
}

function readBirth(answer: Answer): NonNullable<DeviceEvidence['birth']> {
  return {
    order: answer.text('order'),
    batch: answer.text('batch'),
    unit: {
      ticketId: answer.hex('ticketId'),
      uid: answer.hex('uid'),
      eui64: answer.hex('eui64'),
      model: answer.text('model'),
      firmware: answer.text('firmware'),
      proofLevel: answer.oneOf('proofLevel', proofLevels),
      state: answer.oneOf('state', unitStates),
      reason: answer.text('reason'),
      endorsedMs: answer.number('endorsedMs'),
    },
  };
}

function readCertificate(answer: Answer): EvidenceCertificate {
  return {
    issuer: answer.text('issuer'),
    profile: answer.text('profile'),
    serialNumber: answer.hex('serialNumber'),
    revokedMs: answer.optionalNumber('revokedMs'),
    held: answer.oneOf('held', [true, false]),
    der: answer.base64('der'),
  };
}
