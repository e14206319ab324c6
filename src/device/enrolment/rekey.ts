/**
 * A new key for the operational certificate, made by the element itself. The new one stands beside the old
 * one, is tried, and only then takes its place:
 *
 *     nothing next -> key -> key and certificate -> tried -> promoted
 *
 * The state is what the element holds. After a loss of power the step that was cut short is taken once more;
 * until the last one the old key and its certificate are untouched.
 */
import { MalformedError, UnsupportedError } from '../../wire/bytes/malformed.ts';
import { parseEitherCertificate } from '../../wire/c509/either.ts';
import { operationalKey, type SigningKey, signingKeyOf } from '../identity/signingKeys.ts';
import type { DeviceElement, OperationalKeys } from '../ports/element.ts';
import { DeviceFault } from '../ports/faults.ts';
import { type DeviceIdentity, faultOfLdevid } from './ldevid.ts';
import {
  askFor,
  presentLdevid,
  sessionEnrolmentDefaults,
  type SessionEnrolmentFailure,
  type SessionEnrolmentOptions,
  type SessionEnrolmentPorts,
} from './sessionEnrolment.ts';
import { readIdentity } from './steps.ts';

export interface RekeyPorts extends SessionEnrolmentPorts {
  /**
   * Opens a session with what is next (`ldevid-next`): whether the server takes it. Rejects with a retryable
   * fault when nobody answered, which says nothing.
   */
  readonly tryNext: () => Promise<boolean>;
}

export type RekeyOutcome =
  /** The new key and its certificate are in force; the old key is gone. */
  | { readonly kind: 'rekeyed' }
  /** The server does not take the new one, which was thrown away: the old one stays. */
  | { readonly kind: 'not-taken' }
  | SessionEnrolmentFailure;

/**
 * Takes up what was begun, or begins. Rejects with a `DeviceFault` when the element makes no keys, when the
 * session ended or nobody answered the trial, and with the element's errors: to be called again.
 */
export async function rekeyInSession(
  ports: RekeyPorts,
  given: Partial<SessionEnrolmentOptions> & Pick<SessionEnrolmentOptions, 'blockBytes'>,
): Promise<RekeyOutcome> {
  const options = { ...sessionEnrolmentDefaults, ...given };
  const operational = operationalOf(ports.element);
  const born = await readIdentity(ports.element);
  const key = await nextKey(ports.element, operational);
  const identity = { ...born, point: key.point };
  if (!(await isCertified(ports, identity))) {
    const failed = await certify(ports, options, identity, key);
    if (failed !== undefined) return failed;
  }
  if (!(await ports.tryNext())) {
    await operational.discardNext();
    return { kind: 'not-taken' };
  }
  // A crash before this: the trial is made once more. After it: the device is on the new key.
  await operational.promote();
  return { kind: 'rekeyed' };
}

/** One that is there already was made by a run that was cut short. */
async function nextKey(element: DeviceElement, operational: OperationalKeys): Promise<SigningKey> {
  const begun = await operationalKey(element, 'next');
  if (begun !== undefined) return begun;
  await operational.generateNext();
  return signingKeyOf(element, 'ldevid-next');
}

async function isCertified(
  { element, decompress, clock }: RekeyPorts,
  identity: DeviceIdentity,
): Promise<boolean> {
  const [ldevid] = (await element.readCertificate('ldevid-next')) ?? [];
  if (ldevid === undefined) return false;
  try {
    const { certificate } = parseEitherCertificate(ldevid, decompress);
    return faultOfLdevid(certificate, identity, clock.nowMs()) === undefined;
  } catch (error) {
    if (error instanceof MalformedError || error instanceof UnsupportedError) return false;
    throw error;
  }
}

/** `undefined` when `ldevid-next` holds the certificate. */
async function certify(
  ports: RekeyPorts,
  options: SessionEnrolmentOptions,
  identity: DeviceIdentity,
  key: SigningKey,
): Promise<SessionEnrolmentFailure | undefined> {
  const { element } = ports;
  const { point } = await signingKeyOf(element, 'ldevid');
  const present = await presentLdevid(ports, { ...identity, point });
  const issued = await askFor(ports, options, { identity, key, present });
  if ('kind' in issued) return issued;
  // A crash before this write: the device asks again and gets another certificate for the same key.
  await element.write({ certificates: { 'ldevid-next': [issued.bytes] } });
  return undefined;
}

function operationalOf({ operational }: DeviceElement): OperationalKeys {
  if (operational !== undefined) return operational;
  throw new DeviceFault('the element makes no keys after the lock', { retryable: false });
}
