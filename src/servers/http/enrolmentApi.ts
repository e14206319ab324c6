/**
 * The part of the API about devices that no order has made known: one-time secrets, requests that wait for
 * a person, the policies of profiles, and other makers whose elements are believed.
 */
import { actRules } from '../../trust/approvals/acts.ts';
import { approvalCauses } from '../../trust/ports/grantStore.ts';
import {
  approval,
  closed,
  limit,
  name,
  next,
  query,
  type Schema,
  sha256,
  timeMs,
} from './apiSchemas.ts';
import { act, read, type Route } from './authorityRoute.ts';
import { base64, sent } from './authoritySchemas.ts';

const maximumDays = 3_650;
const dayMs = 86_400_000;
/** More elements than any maker has ever shipped of one part. */
const maximumElements = 10_000_000_000;
/** In base64, of a certificate with a signature of SLH-DSA. */
const maximumCertificate = 65_536;

const text = { type: 'string' } as const;
const number = { type: 'integer', minimum: 1, maximum: Number.MAX_SAFE_INTEGER } as const;
const deviceId = { type: 'string', pattern: '^[0-9a-hjkmnp-tv-z]{16}$' } as const;
const days = { type: 'integer', minimum: 1, maximum: maximumDays } as const;
const keyIdentifier = {
  type: ['string', 'null'],
  description: 'first 160 bits of SHA-256 over the bits of the key, hexadecimal',
} as const;
const nothing = closed({});

const secret = closed({
  id: number,
  deviceId: { ...text, description: 'whom it makes its bearer' },
  product: text,
  profile: text,
  createdMs: timeMs('made'),
  expiresMs: timeMs('of no use after'),
  keyIdentifier: {
    ...keyIdentifier,
    description: `of its first user; ${keyIdentifier.description}`,
  },
  spentOn: {
    type: ['string', 'null'],
    description: 'serial number of the certificate, hexadecimal',
  },
  voidedMs: timeMs('taken back'),
});

const created = closed({
  id: number,
  secret: { ...text, description: 'told this once; a hash of it is kept' },
  deviceId: text,
  product: text,
  profile: text,
  expiresMs: timeMs('of no use after'),
});

const request = closed({
  id: number,
  deviceId: text,
  keyIdentifier: { ...text, description: keyIdentifier.description },
  profile: text,
  cause: { ...text, enum: approvalCauses },
  requestedMs: timeMs('asked for'),
});

const policy = {
  profile: { ...name, description: 'of certificates of devices' },
  approval: {
    type: 'string',
    enum: ['none', 'first', 'every'],
    description: 'about which certificates of a device a person decides',
  },
  afterExpiry: {
    type: 'string',
    enum: ['never', 'within', 'approval'],
    description: 'what a certificate that has ended is good for: nothing, or its own renewal',
  },
  days: { ...days, description: 'of `within`' },
} as const;
const required = ['profile', 'approval', 'afterExpiry'];

/** `days` stands with `within` and with nothing else. */
const newPolicy: Schema = {
  ...closed(
    { ...policy, request: { ...approval, description: 'as `approval` of other acts' } },
    required,
  ),
  anyOf: [
    { type: 'object', properties: { afterExpiry: { const: 'within' } }, required: ['days'] },
    { type: 'object', properties: { afterExpiry: { not: { const: 'within' } }, days: false } },
  ],
};

const anchor = closed({
  product: text,
  certificate: base64('DER; empty for one that a restored store does not have any more'),
  sha256,
  count: { type: 'integer', description: 'devices that may be bound to it' },
  taken: { type: 'integer', description: 'devices that are' },
  pinnedMs: timeMs('believed since'),
  retiredMs: timeMs('binds nothing more since'),
});

const production = { roles: actRules['secret.create'].requesters };

export const enrolmentReads: readonly Route[] = [
  {
    ...read(
      '/enrolment/secrets',
      'listSecrets',
      'enrolment',
      'One-time secrets, newest first, without what is secret',
      closed(
        {
          secrets: { type: 'array', items: secret },
          next: next('`before` of the next page', 'integer'),
        },
        ['secrets'],
      ),
      'staff',
    ),
    querystring: query({ limit, before: { ...number, description: 'secrets older than this' } }),
  },
  {
    ...read(
      '/enrolment/requests',
      'listWaitingRequests',
      'enrolment',
      'Requests of devices that wait for a person, oldest first',
      closed(
        {
          requests: { type: 'array', items: request },
          next: next('`after` of the next page', 'integer'),
        },
        ['requests'],
      ),
      'staff',
    ),
    querystring: query({ limit, after: { ...number, description: 'requests younger than this' } }),
  },
  read(
    '/enrolment/policies',
    'listPolicies',
    'enrolment',
    'How each profile of devices is given out',
    closed({ policies: { type: 'array', items: closed(policy, required) } }),
    'staff',
  ),
  read(
    '/foreign-anchors',
    'listAnchors',
    'enrolment',
    'Authorities of other makers, and how far they are used',
    closed({ anchors: { type: 'array', items: anchor } }),
    'staff',
  ),
];

export const enrolmentActs: readonly Route[] = [
  {
    ...act(
      '/enrolment/secrets',
      'createSecret',
      'enrolment',
      'Make a secret with which one device enrols once',
      closed(
        {
          deviceId: { ...deviceId, description: 'a device that is known; a new one when absent' },
          product: name,
          profile: name,
          lifetimeMs: { type: 'integer', minimum: 1, maximum: maximumDays * dayMs },
          approval,
        },
        ['product', 'profile', 'lifetimeMs'],
      ),
      created,
    ),
    may: production,
    isToldOnce: true,
  },
  {
    ...act(
      '/enrolment/secrets/void',
      'voidSecret',
      'enrolment',
      'Take back a secret that nobody has used',
      closed({ id: number }),
      nothing,
    ),
    may: production,
  },
  {
    ...act(
      '/enrolment/requests/decide',
      'decideRequest',
      'enrolment',
      'Let a device have what it asked for, or not',
      closed({ id: number, decision: { type: 'string', enum: ['approved', 'denied'] } }),
      nothing,
    ),
    may: production,
    namesCaller: true,
  },
  {
    ...act(
      '/enrolment/policies',
      'changePolicy',
      'enrolment',
      'Change how a profile is given out',
      newPolicy,
      nothing,
    ),
    may: { roles: actRules['policy.change'].requesters },
  },
  {
    ...act(
      '/foreign-anchors',
      'pinAnchor',
      'enrolment',
      'Believe birth certificates below this authority for so many devices of a product',
      closed(
        {
          product: name,
          certificate: sent('DER of its certificate', maximumCertificate),
          count: { type: 'integer', minimum: 1, maximum: maximumElements },
          approval,
        },
        ['product', 'certificate', 'count'],
      ),
      anchor,
    ),
    may: { roles: actRules['anchor.pin'].requesters },
  },
  {
    ...act(
      '/foreign-anchors/retire',
      'retireAnchor',
      'enrolment',
      'Bind no further device of a product to it',
      closed({ product: name, sha256, approval }, ['product', 'sha256']),
      nothing,
    ),
    may: { roles: actRules['anchor.retire'].requesters },
  },
];
