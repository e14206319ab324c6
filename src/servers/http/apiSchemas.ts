/**
 * What the API takes and gives, as JSON Schema: requests are judged by it, answers are written by it (a
 * member that is not named here does not leave), and the OpenAPI document is made of it.
 */
import {
  certificateKinds,
  certificateStates,
  deviceStates,
} from '../../trust/ports/registryStore.ts';
import { telemetryPaths } from '../../trust/ports/telemetryStore.ts';
import { problemType } from './problem.ts';

/** Entries of a page. */
export const pageSizes = { usual: 100, most: 1000 } as const;
export const maximumReason = 200;

/** A JSON Schema of an object. */
type Schema = Readonly<Record<string, unknown>>;

const deviceId = {
  type: 'string',
  pattern: '^[0-9a-hjkmnp-tv-z]{16}$',
  description: '16 characters of lower-case Crockford base32, permanent',
} as const;

const sha256 = {
  type: 'string',
  pattern: '^[0-9a-f]{64}$',
  description: 'SHA-256 over the whole DER certificate, in hexadecimal',
} as const;

const timeMs = (description: string) =>
  ({
    type: ['integer', 'null'],
    description: `${description}; milliseconds of Unix time`,
  }) as const;

const limit = {
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

const message = {
  sequence: { type: 'integer', minimum: 1, description: 'counts the messages of its device' },
  receivedMs: timeMs('received'),
  path: { type: 'string', enum: telemetryPaths },
  payload: { type: 'string', contentEncoding: 'base64' },
} as const;

const next = (description: string, type: 'string' | 'integer') => ({
  type,
  description: `${description}; absent on the last page`,
});

/** Bodies and documents by name. Objects are closed: a member that is misspelt is refused, not ignored. */
export const schemas: Readonly<
  Record<
    'reason' | 'devicePage' | 'device' | 'certificate' | 'telemetryPage' | 'revocation',
    Schema
  >
> = {
  reason: closed({
    reason: {
      type: 'string',
      minLength: 1,
      maxLength: maximumReason,
      pattern: '^[^\\u0000-\\u001f\\u007f-\\u009f]*$',
      description: 'why, for the registry and the audit log',
    },
  }),
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
    killMs: {
      type: 'number',
      description: 'from the request until the last of them had ended, durable write included',
    },
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

/** Of every act: `conditions.ts` and `repeats.ts` act on them, this describes them. */
export const actHeaders: Schema = {
  type: 'object',
  properties: {
    'if-match': { type: 'string', description: 'act only if the resource is still this one' },
    'idempotency-key': {
      type: 'string',
      description: 'the same key and request again gets the first answer again, for a day',
    },
  },
};

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

function closed(
  properties: Readonly<Record<string, object>>,
  required: readonly string[] = Object.keys(properties),
): Schema {
  return { type: 'object', properties, required, additionalProperties: false };
}

function query(properties: Readonly<Record<string, object>>): Schema {
  return closed(properties, []);
}
