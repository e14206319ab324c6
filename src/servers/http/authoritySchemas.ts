/** What the authority takes and gives at the API, as JSON Schema: what is not named here does not leave. */
import { operatorRoles } from '../../trust/ports/approvalStore.ts';
import { maximumTicketCount, proofLevels } from '../../wire/line/ticket.ts';
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

const text = { type: 'string' } as const;
const integer = { type: 'integer' } as const;
const hex = (description: string) => ({
  type: 'string',
  description: `${description}, hexadecimal`,
});
export const base64 = (description: string): Schema => ({
  type: 'string',
  contentEncoding: 'base64',
  description,
});
const list = (items: object) => ({ type: 'array', items });
const quantity = { type: 'integer', minimum: 1, maximum: maximumTicketCount };
/** A body may carry it, and no more. */
export const sent = (description: string, characters: number): Schema => ({
  ...base64(description),
  pattern: '^[A-Za-z0-9+/]+={0,2}$',
  maxLength: characters,
});
const role = { type: 'string', enum: operatorRoles };
const requestId = { ...sha256, description: 'SHA-256 over the request that was signed' };

const order = {
  order: text,
  product: text,
  family: text,
  profile: text,
  hwType: { ...text, description: 'OID of the kind of hardware (RFC 4108)' },
  partNumber: text,
  quantity: integer,
  leastProof: { ...text, enum: proofLevels },
  eui64First: hex('first link address'),
  serverIdentity: base64('credential of the server that elements are born with'),
  createdMs: timeMs('ordered'),
};

const ticket = {
  ticketId: text,
  order: text,
  batch: text,
  stationKeySpki: base64('public key of the station'),
  count: integer,
  taken: integer,
  leastProof: text,
  notBeforeMs: timeMs('endorses from'),
  notAfterMs: timeMs('endorses until'),
  signed: base64('COSE_Sign1 by the order key: of use to that station alone'),
  closedMs: timeMs('closed'),
};

const profile = closed({
  name: text,
  version: integer,
  sha256: hex('over the text'),
  builtIn: { type: 'boolean', description: 'comes with this version, and cannot be replaced' },
  former: { type: 'boolean', description: 'a later version is issued from' },
  addedMs: timeMs('added'),
  text: { ...text, description: 'the profile as JSON, members sorted' },
});

const request = closed({
  id: requestId,
  act: text,
  requester: text,
  signed: base64('COSE_Sign1 by the requester: what exactly is asked for'),
  takenMs: timeMs('taken in'),
  expiresMs: timeMs('of no use after'),
  decision: {
    ...closed({
      decision: text,
      by: text,
      signed: base64('COSE_Sign1 by that operator'),
      atMs: timeMs('said'),
    }),
    type: ['object', 'null'],
  },
  spentMs: timeMs('used, or begun'),
  doneMs: timeMs('what it allowed is done'),
});

/** Answers. */
export const answers: Readonly<
  Record<
    | 'chain'
    | 'nothing'
    | 'authorities'
    | 'horizon'
    | 'lists'
    | 'log'
    | 'leaf'
    | 'profiles'
    | 'profile'
    | 'operators'
    | 'mode'
    | 'soleChanges'
    | 'requests'
    | 'request'
    | 'orders'
    | 'order'
    | 'orderView'
    | 'ticket'
    | 'closedBatch',
    Schema
  >
> = {
  authorities: closed({
    organization: text,
    eui64Base: hex('where the first range of link addresses begins'),
    authorities: list(
      closed({
        name: text,
        role: text,
        state: text,
        algorithm: text,
        key: { ...text, description: 'file, token, or offline' },
        subject: text,
        sha256: hex('SHA-256 of its certificate'),
        notAfterMs: timeMs('end, null for none'),
      }),
    ),
  }),
  horizon: closed({
    rows: list(
      closed({
        kind: text,
        name: text,
        detail: text,
        endsMs: timeMs('end, null for none'),
        issuesUntilMs: timeMs('until when it issues certificates of full length'),
      }),
    ),
    events: list(closed({ atMs: timeMs('when'), name: text, event: text })),
    warnings: list(text),
  }),
  lists: closed({
    lists: list(
      closed({
        authority: text,
        shard: integer,
        number: integer,
        thisUpdateMs: timeMs('signed'),
        nextUpdateMs: timeMs('good until'),
        count: { type: 'integer', description: 'entries' },
        publication: integer,
      }),
    ),
  }),
  log: closed({
    log: { ...text, description: 'its name, the origin of its checkpoints' },
    treeSize: integer,
    root: hex('root hash'),
    checkpoint: { ...text, description: 'signed note (C2SP tlog-checkpoint)' },
  }),
  leaf: closed({
    leaf: integer,
    bytes: base64('the entry'),
    proof: { ...text, description: 'that it stands under the checkpoint in it (C2SP tlog-proof)' },
  }),
  profiles: closed({ profiles: list(profile) }),
  profile,
  operators: closed({
    operators: list(
      closed({
        name: text,
        certificate: base64('DER; its key signs what the operator asks for and decides'),
        keyIdentifier: hex('of the key'),
        roles: list(
          closed({ role: { ...text, enum: operatorRoles }, grantedMs: timeMs('held since') }),
        ),
        addedMs: timeMs('added'),
        revokedMs: timeMs('revoked since'),
      }),
    ),
  }),
  mode: closed({
    mode: {
      ...closed({
        installation: hex('what requests are bound to'),
        sinceMs: timeMs('two persons since'),
        massLimit: { type: 'integer', description: 'devices that one person may act on at once' },
      }),
      type: ['object', 'null'],
      description: 'null: one person is enough',
    },
  }),
  soleChanges: closed({
    left: {
      type: ['integer', 'null'],
      description:
        'devices whose status one person may still change today; null: one is enough for all',
    },
  }),
  requests: closed({ requests: list(request), next: next('`before` of the next page', 'string') }, [
    'requests',
  ]),
  request,
  orders: closed(
    { orders: list(closed(order)), next: next('`before` of the next page', 'string') },
    ['orders'],
  ),
  order: closed(order),
  orderView: closed({
    ...order,
    batches: list(closed({ batch: text, quantity: integer, closedMs: timeMs('closed') })),
    tickets: list(closed(ticket)),
  }),
  ticket: closed(ticket),
  chain: closed({ chain: list(base64('DER, the new certificate first')) }),
  nothing: closed({}),
  closedBatch: closed({
    batch: text,
    counts: closed({ issued: integer, released: integer, scrapped: integer, returned: integer }),
    void: { type: 'integer', description: 'ordered and never made' },
    manifest: { ...text, description: 'name of its file at the authority' },
    yieldReport: { ...text, description: 'name of its file at the authority' },
  }),
};

/** Bodies of acts. */
export const bodies: Readonly<
  Record<
    | 'operator'
    | 'renewal'
    | 'role'
    | 'leaver'
    | 'order'
    | 'raise'
    | 'ticket'
    | 'close'
    | 'profile'
    | 'signed',
    Schema
  >
> = {
  order: closed(
    {
      order: name,
      product: name,
      family: name,
      hwType: { type: 'string', maxLength: 128, pattern: '^[0-9.]+$' },
      partNumber: name,
      profile: {
        ...name,
        maxLength: 40,
        description: 'of the birth certificates; idevid unless told',
      },
      quantity,
      leastProof: { type: 'string', enum: proofLevels },
      eui64First: { type: 'string', pattern: '^[0-9a-f]{16}$' },
      serverIdentity: sent('the credential that elements are born with', 8_192),
      batches: { ...list(closed({ batch: name, quantity })), maxItems: 1_000 },
      approval,
    },
    ['order', 'product', 'family', 'hwType', 'quantity', 'leastProof'],
  ),
  raise: closed({ order: name, batch: name, by: quantity, approval }, ['order', 'batch', 'by']),
  ticket: closed(
    {
      batch: name,
      count: quantity,
      stationKeySpki: sent('public key of the station, DER', 256),
      notBeforeMs: { type: 'integer', minimum: 0, maximum: Number.MAX_SAFE_INTEGER },
      notAfterMs: { type: 'integer', minimum: 0, maximum: Number.MAX_SAFE_INTEGER },
      approval,
    },
    ['batch', 'count', 'stationKeySpki', 'notBeforeMs', 'notAfterMs'],
  ),
  close: closed({ approval }, []),
  operator: closed({ name, role, request: sent('PKCS#10, DER', 8_192), approval }, [
    'name',
    'role',
    'request',
  ]),
  renewal: closed({ name, request: sent('PKCS#10, DER', 8_192) }),
  role: closed({ name, role, change: { type: 'string', enum: ['grant', 'withdraw'] }, approval }, [
    'name',
    'role',
    'change',
  ]),
  leaver: closed({ name, approval }, ['name']),
  profile: closed(
    { profile: { type: 'object', description: 'as birthmark profile show' }, approval },
    ['profile'],
  ),
  signed: closed({ signed: sent('COSE_Sign1 by the operator', 65_536) }),
};

export const pageQuery: Schema = query({
  limit,
  before: { type: 'string', minLength: 1, maxLength: 64, description: 'entries older than this' },
});

export const params: Readonly<Record<'order' | 'batch' | 'request' | 'leaf' | 'list', Schema>> = {
  order: closed({ order: name }),
  batch: closed({ batch: name }),
  request: closed({ id: requestId }),
  leaf: closed({ leaf: { type: 'string', pattern: '^(?:0|[1-9][0-9]{0,14})$' } }),
  list: closed({ authority: name, shard: { type: 'string', pattern: '^(?:0|[1-9][0-9]{0,3})$' } }),
};
