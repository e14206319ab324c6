/** An authority of tests in which dangerous acts take two: ada and bob are admins, eve and kim operators. */
import { generateKeyPairSync, sign } from 'node:crypto';
import { nodeCrypto } from '../../src/drivers/keys/software/nodeCrypto.ts';
import { SqliteApprovalStore } from '../../src/drivers/store/sqlite/approvalStore.ts';
import {
  type ActKind,
  type ActRequests,
  encodeParameters,
} from '../../src/trust/approvals/acts.ts';
import { ApprovalDesk } from '../../src/trust/approvals/desk.ts';
import {
  encodeDecision,
  encodeRequest,
  type RequestDocument,
  signDocument,
} from '../../src/trust/approvals/documents.ts';
import { Permissions } from '../../src/trust/approvals/permissions.ts';
import { switchToTwoPersons } from '../../src/trust/approvals/twoPersons.ts';
import { Operators } from '../../src/trust/issuance/operators.ts';
import type {
  ApprovalStore,
  Decision,
  OperatorRole,
  RequestRecord,
} from '../../src/trust/ports/approvalStore.ts';
import { isRefusal, type Refusal } from '../../src/trust/ports/faults.ts';
import type { RefusalNote } from '../../src/trust/ports/securityLog.ts';
import { prepareCertificationRequest } from '../../src/wire/x509/certificationRequest.ts';
import { encodeName } from '../../src/wire/x509/names.ts';
import { type OpenAuthority, testSigner, type TestSigner, World } from './issuing/world.ts';

export type Name = 'ada' | 'bob' | 'eve' | 'kim';

export interface TwoPersonHouse {
  readonly world: World;
  readonly authority: OpenAuthority;
  readonly store: ApprovalStore;
  readonly desk: ApprovalDesk;
  readonly permissions: Permissions;
  readonly operators: Operators;
  readonly signers: Readonly<Record<Name, TestSigner>>;
  readonly notes: RefusalNote[];
  /** As a person asks who is one of them. */
  ask<Kind extends ActKind>(
    by: Name,
    kind: Kind,
    request: ActRequests[Kind],
    changes?: Partial<RequestDocument>,
  ): Promise<RequestRecord | Refusal<string>>;
  decide(by: Name, id: Uint8Array, decision: Decision): Promise<RequestRecord | Refusal<string>>;
  /** Asked for by one and approved by the other; its id. */
  approved<Kind extends ActKind>(
    kind: Kind,
    request: ActRequests[Kind],
    by?: Name,
    approver?: Name,
  ): Promise<Uint8Array>;
}

export const hourMs = 3_600_000;

export async function twoPersonHouse(context: {
  after(done: () => void): void;
}): Promise<TwoPersonHouse> {
  const world = await World.create(context);
  const authority = world.open();
  const house = assemble(world, authority);
  const certified = async (name: Name): Promise<Uint8Array> => {
    const request = requestOf(house.signers[name]);
    const named = { profile: 'operator', name, request, hosts: [] } as const;
    const certificate = await authority.certification.certify(named);
    if (isRefusal(certificate)) throw new Error(certificate.reason);
    return certificate;
  };
  const admins = [];
  for (const name of ['ada', 'bob'] as const) {
    admins.push({ name, certificate: await certified(name) });
  }
  const shared = { store: house.store, crypto: nodeCrypto, clock: world.clock };
  const mode = await switchToTwoPersons(shared, admins, 100);
  if (isRefusal(mode)) throw new Error(mode.reason);
  for (const name of ['eve', 'kim'] as const) await add(house, name, 'operator');
  return house;
}

/** The same house after its process died. */
export function reopened({ world, signers }: TwoPersonHouse): TwoPersonHouse {
  return assemble(world, world.open(), signers);
}

/** DER of PKCS#10. */
export function requestOf(signer: TestSigner): Uint8Array {
  const request = prepareCertificationRequest({
    subject: encodeName(['commonName', 'whoever']),
    spki: signer.publicKeySpki,
  });
  const signature = sign('sha256', request.toBeSigned, signer.privateKey);
  return request.finish('ecdsa-with-SHA256', new Uint8Array(signature));
}

/** A key that operators do not have. */
export function p384Request(): Uint8Array {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'secp384r1' });
  const spki = new Uint8Array(publicKey.export({ format: 'der', type: 'spki' }));
  const request = prepareCertificationRequest({ subject: encodeName(['commonName', 'x']), spki });
  const signature = sign('sha384', request.toBeSigned, privateKey);
  return request.finish('ecdsa-with-SHA384', new Uint8Array(signature));
}

async function add(house: TwoPersonHouse, name: Name, role: OperatorRole): Promise<void> {
  const request = requestOf(house.signers[name]);
  const operator = { name, role, key: house.signers[name].publicKeySpki };
  const id = await house.approved('operator.add', operator, 'ada', 'bob');
  const approved = await house.permissions.allow('operator.add', operator, id);
  if (isRefusal(approved)) throw new Error(approved.reason);
  const added = await house.operators.add(approved, request);
  if (isRefusal(added)) throw new Error(added.reason);
}

function assemble(
  world: World,
  authority: OpenAuthority,
  signers: TwoPersonHouse['signers'] = {
    ada: testSigner(),
    bob: testSigner(),
    eve: testSigner(),
    kim: testSigner(),
  },
): TwoPersonHouse {
  const store = new SqliteApprovalStore(authority.database);
  const notes: RefusalNote[] = [];
  const security = { note: (note: RefusalNote): void => void notes.push(note) };
  const shared = { store, crypto: nodeCrypto, clock: world.clock, security };
  const desk = new ApprovalDesk(shared);
  const { certification, issuanceStore: certificates } = authority;
  const ask: TwoPersonHouse['ask'] = async (by, kind, request, changes = {}) => {
    const mode = await store.mode();
    const document = encodeRequest({
      installation: mode?.installation ?? new Uint8Array(16),
      act: kind,
      parameters: encodeParameters(request),
      requester: by,
      requestedMs: world.nowMs,
      expiresMs: world.nowMs + hourMs,
      nonce: nodeCrypto.random(16),
      ...changes,
    });
    return desk.submit(await signDocument(signers[by], document));
  };
  const decide: TwoPersonHouse['decide'] = async (by, id, decision) => {
    const installation = (await store.mode())?.installation ?? new Uint8Array(16);
    const said = { installation, request: id, decision, by, atMs: world.nowMs };
    return desk.decide(await signDocument(signers[by], encodeDecision(said)));
  };
  return {
    world,
    authority,
    store,
    desk,
    permissions: new Permissions(shared),
    operators: new Operators({ ...shared, certificates, certification }),
    signers,
    notes,
    ask,
    decide,
    approved: async (kind, request, by = 'eve', approver = 'kim') => {
      const asked = await ask(by, kind, request);
      if (isRefusal(asked)) throw new Error(asked.reason);
      const decided = await decide(approver, asked.id, 'approved');
      if (isRefusal(decided)) throw new Error(decided.reason);
      return asked.id;
    },
  };
}
