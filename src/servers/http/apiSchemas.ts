/**
 * What the API takes and gives, as JSON Schema: requests are judged by it, answers are written by it (a
 * member that is not named here does not leave), and the OpenAPI document is made of it.
 */
import {
  certificateKinds,
  certificateStates,
  deviceStates,
} from '../../trust/ports/registryStore.ts';
import { listsStates } from '../../trust/ports/revocationReport.ts';
import { statusActs } from '../../trust/ports/statusOrders.ts';
import { telemetryPaths } from '../../trust/ports/telemetryStore.ts';
import { revocationReasons } from '../../wire/crl/reason.ts';
import { pageSizes } from './pages.ts';
import { problemType } from './problem.ts';

const maximumReason = 200;
/** Devices by name: of one revocation, and of one order. */
const maximumNamed = 10_000;
const maximumOrdered = 1_000;

/** A JSON Schema of an object. */
export type Schema = Readonly<Record<string, unknown>>;

const deviceId = {
  type: 'string',
  pattern: '^[0-9a-hjkmnp-tv-z]{16}$',
  description: '16 characters of lower-case Crockford base32, permanent',
} as const;

export const sha256: Schema = {
  type: 'string',
  pattern: '^[0-9a-f]{64}$',
  description: 'SHA-256 over the whole DER certificate, in hexadecimal',
} as const;

const deviceIds = (most: number) => ({
  type: 'array',
  items: { type: 'string', minLength: 1, maxLength: 64 },
  minItems: 1,
  maxItems: most,
});

const reason = {
  type: 'string',
  minLength: 1,
  maxLength: maximumReason,
  pattern: '^[^\\u0000-\\u001f\\u007f-\\u009f]*$',
  description: 'why, for the registry and the audit log',
} as const;

export const name: Schema = {
  type: 'string',
  minLength: 1,
  maxLength: 64,
  pattern: '^[^\\u0000-\\u001f\\u007f-\\u009f]*$',
} as const;

/** Of acts that may take two persons. */
export const approval: Schema = {
  type: 'string',
  pattern: '^[0-9a-f]{64}$',
  description: 'SHA-256 of the approved request that allows it',
} as const;

export const timeMs = (description: string): Schema => ({
  type: ['integer', 'null'],
  description: `${description}; milliseconds of Unix time`,
});

export const limit: Schema = {
  type: 'integer',
  minimum: 1,
  maximum: pageSizes.most,
  default: pageSizes.usual,
  description: 'entries of a page',
} as const;

const device = {
  deviceId,
  state: { type: 'string', enum: deviceStates },
  role: { type: 'string', enum: ['sensor', 'gateway'] },
  product: { type: 'string' },
  owner: { type: 'string' },
  family: { type: 'string', description: 'element family' },
  uid: { type: 'string', description: 'unique identifier of the element, in hexadecimal' },
  eui64: { type: ['string', 'null'], description: 'link address, in hexadecimal' },
  proofLevel: { type: 'string', description: 'what was proven about the keys at birth' },
  importedMs: timeMs('in the registry since'),
  enrolledMs: timeMs('first certificate or session of its present owner'),
  revokedMs: timeMs('revoked, for good, since'),
  revocationReason: { type: ['string', 'null'] },
  heldMs: timeMs('on hold since'),
} as const;

const certificate = {
  sha256,
  kind: { type: 'string', enum: certificateKinds },
  holder: { type: 'string', description: 'a deviceId, or the name that its kind makes unique' },
  state: { type: 'string', enum: certificateStates },
  addedMs: timeMs('in the registry since'),
  notAfterMs: timeMs('end, null for none'),
  revokedMs: timeMs('revoked since'),
  revocationReason: { type: ['string', 'null'] },
} as const;

const clone = {
  seenMs: timeMs('seen'),
  reason: { type: 'string' },
  sessionId: { type: 'string' },
  sequenceNumber: { type: 'integer', minimum: 0 },
  ingress: { type: 'string', description: 'by which gateway or door it came' },
  linkAddress: { type: 'string', description: 'in hexadecimal' },
  messageSha256: { type: 'string', description: 'in hexadecimal' },
} as const;

const lists = {
  type: 'string',
  enum: listsStates,
  description:
    'lists and OCSP answers: they follow within seconds; the authority has not heard yet; or they take an approval, or another day',
} as const;

const message = {
  sequence: { type: 'integer', minimum: 1, description: 'counts the messages of its device' },
  receivedMs: timeMs('received'),
  path: { type: 'string', enum: telemetryPaths },
  payload: { type: 'string', contentEncoding: 'base64' },
} as const;

export const next = (description: string, type: 'string' | 'integer'): Schema => ({
  type,
  description: `${description}; absent on the last page`,
});

/** Bodies and documents by name. Objects are closed: a member that is misspelt is refused, not ignored. */
export const schemas: Readonly<
  Record<
    | 'nothing'
    | 'reason'
    | 'named'
    | 'namedWithReason'
    | 'statusOrder'
    | 'statusStep'
    | 'devicePage'
    | 'device'
    | 'certificate'
    | 'changedCertificate'
    | 'telemetryPage'
    | 'revocation'
    | 'revocationPlan',
    Schema
  >
> = {
  nothing: closed({}),
  reason: closed({ reason }),
  named: closed({ deviceIds: deviceIds(maximumNamed) }),
  namedWithReason: closed({ deviceIds: deviceIds(maximumNamed), reason }),
  statusOrder: closed(
    {
      act: { type: 'string', enum: statusActs },
      by: {
        type: 'string',
        enum: ['device', 'certificate', 'batch', 'product', 'station', 'family'],
      },
      deviceIds: deviceIds(maximumOrdered),
      sha256,
      name: { ...name, description: 'of the batch, product, station or family' },
      firmware: { ...name, description: 'of a family: those born with this firmware alone' },
      withDevices: { type: 'boolean', description: 'of a station: and what it personalized' },
      code: { type: 'string', enum: Object.keys(revocationReasons) },
      reason,
      dryRun: { type: 'boolean', description: 'count, and change nothing' },
      after: { type: 'string', maxLength: 60, description: '`next` of the step before' },
      approval,
    },
    ['act', 'by', 'code', 'reason'],
  ),
  statusStep: closed(
    {
      devices: { type: 'integer' },
      changed: { type: 'integer', description: 'whose status was another before' },
      certificates: { type: 'integer' },
      notHere: { type: 'integer', description: 'devices that the registry does not know' },
      ended: { type: 'integer', description: 'connections, sessions and answers that ended' },
      next: next('`after` of the next step', 'string'),
    },
    ['devices', 'changed', 'certificates', 'notHere', 'ended'],
  ),
  devicePage: closed(
    {
      devices: { type: 'array', items: closed(device) },
      next: next('`after` of the next page', 'string'),
    },
    ['devices'],
  ),
  device: closed({
    ...device,
    certificates: { type: 'array', items: closed(certificate) },
    cloneEvidence: {
      type: 'array',
      items: closed(clone),
      description: 'authentic messages that the device itself cannot have sent',
    },
  }),
  certificate: closed(certificate),
  changedCertificate: closed({ ...certificate, lists }),
  telemetryPage: closed(
    {
      messages: { type: 'array', items: closed(message) },
      next: next('`before` of the next page', 'integer'),
    },
    ['messages'],
  ),
  revocation: closed({
    devices: {
      type: 'array',
      items: closed({
        deviceId,
        changed: { type: 'boolean', description: 'false when it had been revoked before' },
        certificates: { type: 'integer' },
      }),
    },
    ended: {
      type: 'object',
      additionalProperties: { type: 'integer' },
      description: 'connections and sessions that ended, by kind',
    },
    lists,
    killMs: {
      type: 'number',
      description: 'from the request until the last of them had ended, durable write included',
    },
  }),
  revocationPlan: closed({
    devices: {
      type: 'array',
      items: closed({
        deviceId,
        revokedAlready: { type: 'boolean' },
        certificates: { type: 'integer' },
      }),
    },
    unknown: { type: 'array', items: { type: 'string' } },
  }),
};

export const queries: Readonly<Record<'devices' | 'telemetry', Schema>> = {
  devices: query({
    limit,
    after: { ...deviceId, description: 'devices whose id sorts after this one' },
    state: { type: 'string', enum: deviceStates },
  }),
  telemetry: query({
    limit,
    before: { type: 'integer', minimum: 1, description: 'messages older than this sequence' },
  }),
};

export const parameters: Readonly<Record<'device' | 'certificate', Schema>> = {
  device: closed({ deviceId }),
  certificate: closed({ sha256 }),
};

/** Of every act: `repeats.ts` acts on it, this describes it. */
const repeatHeaders = {
  'idempotency-key': {
    type: 'string',
    pattern: '^(?:[!#-\\[\\]-~]{1,64}|"[!#-\\[\\]-~]{1,64}")$',
    description: 'the same key and request again gets the first answer again, for a day',
  },
} as const;

/** Of acts on what is there already: `conditions.ts` acts on the other one. */
const conditionHeaders = {
  'if-match': { type: 'string', description: 'act only if the resource is still this one' },
  ...repeatHeaders,
} as const;

export function actHeaders(conditional: boolean): Schema {
  return { type: 'object', properties: conditional ? conditionHeaders : repeatHeaders };
}

const problem = closed(
  {
    type: { type: 'string' },
    title: { type: 'string' },
    status: { type: 'integer' },
    code: { type: 'string', description: 'stable: programs may switch on it' },
    detail: { type: 'string' },
  },
  ['type', 'title', 'status', 'code'],
);

/** Every error is a problem document (RFC 9457). */
export const problems: Readonly<Record<'4xx' | '5xx', object>> = {
  '4xx': {
    description: 'The request is wrong, or refused; `code` says which.',
    content: { [problemType]: { schema: problem } },
  },
  '5xx': {
    description: 'Our trouble, or that of what stands behind us; 503 may be tried again.',
    content: { [problemType]: { schema: problem } },
  },
};

export function closed(
  properties: Readonly<Record<string, object>>,
  required: readonly string[] = Object.keys(properties),
): Schema {
  return { type: 'object', properties, required, additionalProperties: false };
}

export function query(properties: Readonly<Record<string, object>>): Schema {
  return closed(properties, []);
}
