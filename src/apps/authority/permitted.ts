/** The acts of the local door that take two persons: permission first, then the act, which takes it. */
import type { AuthorityActs } from '../../servers/local/authority.ts';
import type { OperatorActs } from '../../servers/local/approvals.ts';
import type { ActKind, ActRequests } from '../../trust/approvals/acts.ts';
import type { Approved, Begun, Permissions } from '../../trust/approvals/permissions.ts';
import { keyOfRequest } from '../../trust/issuance/certification.ts';
import { closeBatch } from '../../trust/personalization/closing.ts';
import type { Hierarchy } from '../../trust/ports/authority.ts';
import type { EnrolmentDesk, ForeignDesk } from '../../trust/ports/enrolmentDesk.ts';
import type { ProfileDesk } from '../../trust/ports/profileDesk.ts';
import { isRefusal, type Refusal } from '../../trust/ports/faults.ts';
import { equal } from '../../wire/bytes/bytes.ts';
import { parseCertificate } from '../../wire/x509/certificate.ts';
import type { Parts } from './assemble.ts';
import { caseDesk } from './cases.ts';
import { readProfile } from './profileDocument.ts';

type Permitted = Pick<
  AuthorityActs,
  | 'certify'
  | 'createOrder'
  | 'raiseOrder'
  | 'issueTicket'
  | 'closeBatch'
  | 'cases'
  | 'enrolment'
  | 'foreign'
  | 'operators'
  | 'profiles'
  | 'recordRevocations'
>;

export function permittedActs(parts: Parts): Permitted {
  const { permissions, certification, hierarchy, orders } = parts;
  const above = hierarchy.server.slice(0, 1);
  const aboveServers = above.flatMap((issuer) => serverChain(issuer, hierarchy));
  const chainOf = (
    certificate: Uint8Array | Refusal<string>,
    chain: readonly Uint8Array[] = above,
  ): readonly Uint8Array[] | Refusal<string> =>
    isRefusal(certificate) ? certificate : [certificate, ...chain];
  return {
    certify: async (named, approval) => {
      if (named.profile !== 'station') {
        const chain = named.profile === 'server' ? aboveServers : above;
        return chainOf(await certification.certify(named), chain);
      }
      const key = keyOfRequest(named.request);
      if (isRefusal(key)) return key;
      const station = { name: named.name, key };
      return permissions.carryOut('station.enrol', station, approval, async (begun) =>
        chainOf(
          begun.resumed
            ? await certification.certifyAgain(named, begun.sinceMs)
            : await certification.certify(named),
        ),
      );
    },
    createOrder: (request, approval) =>
      permitted(permissions, 'order.create', request, approval, (one) => orders.create(one)),
    raiseOrder: (request, approval) =>
      permitted(permissions, 'order.raise', request, approval, (one) => orders.raise(one)),
    issueTicket: (request, approval) =>
      permitted(permissions, 'ticket.issue', request, approval, (one) => orders.issueTicket(one)),
    closeBatch: (batch, approval) =>
      permitted(permissions, 'batch.close', { batch }, approval, (one) =>
        closeBatch(parts.closing, one),
      ),
    recordRevocations: async (notices, approved) => {
      if (approved === undefined) return parts.statusNotices.record(notices);
      const begun = await beginStatusOrder(permissions, approved.order, approved.approval);
      return isRefusal(begun) ? begun : parts.statusNotices.recordOrdered(begun, notices);
    },
    cases: caseDesk(parts.cases, permissions),
    enrolment: enrolmentActs(parts),
    foreign: foreignActs(parts),
    operators: operatorActs(parts, chainOf),
    profiles: profileActs(parts),
  };
}

/**
 * What a server shows above its certificate. A device that slept while its authority got a new key believes
 * the old one alone: the link from there (RFC 4210 §4.4, new-with-old) stands first, since OpenSSL takes the
 * first issuer that fits and does not come back; behind it the old one, for whoever believes the root.
 */
function serverChain(
  issuer: Uint8Array,
  { links, server }: Pick<Hierarchy, 'links' | 'server'>,
): readonly Uint8Array[] {
  const { publicKey, subject } = parseCertificate(issuer);
  const generations = links.filter((der) => {
    const link = parseCertificate(der);
    return equal(link.publicKey.spki, publicKey.spki) && equal(link.issuer.der, subject.der);
  });
  return generations.length === 0 ? [issuer] : [...generations, ...server];
}

function enrolmentActs({ permissions, grants, approvals }: Parts): EnrolmentDesk {
  return {
    createSecret: async (order, approval) => {
      const { deviceId, ...anybody } = order;
      const mode = approval === undefined ? await approvals.mode() : undefined;
      // Whoever has a secret for a device that is known becomes that device.
      if (mode !== undefined && deviceId === undefined) {
        return grants.createSecretAlone(anybody, mode.massLimit);
      }
      return permitted(permissions, 'secret.create', order, approval, (one) =>
        grants.createSecret(one),
      );
    },
    secrets: (limit, before) => grants.secrets(limit, before),
    voidSecret: (id) => grants.voidSecret(id),
    approvals: (limit, after) => grants.approvals(limit, after),
    decide: (id, decision, by) => grants.decide(id, decision, by),
    policies: () => grants.policies(),
    savePolicy: (policy, approval) =>
      permitted(permissions, 'policy.change', policy, approval, (one) => grants.savePolicy(one)),
  };
}

function foreignActs({ permissions, foreign }: Parts): ForeignDesk {
  return {
    pin: (decision, approval) =>
      permitted(permissions, 'anchor.pin', decision, approval, (one) => foreign.pin(one)),
    retire: (product, sha256, approval) =>
      permitted(permissions, 'anchor.retire', { product, sha256 }, approval, (one) =>
        foreign.retire(one),
      ),
    anchors: () => foreign.anchors(),
  };
}

function profileActs({ permissions, profiles }: Parts): ProfileDesk {
  return {
    profiles: () => Promise.resolve(profiles.views()),
    addProfile: async (document, approval) => {
      const profile = readProfile(document);
      if ('refused' in profile) return profile;
      const request = profiles.requestFor(profile);
      return permitted(permissions, 'profile.change', request, approval, (approved) =>
        profiles.add(profile, approved),
      );
    },
  };
}

function operatorActs(
  { permissions, operators }: Parts,
  chainOf: (certificate: Uint8Array | Refusal<string>) => readonly Uint8Array[] | Refusal<string>,
): OperatorActs {
  return {
    add: async ({ name, role, request }, approval) => {
      const key = keyOfRequest(request);
      if (isRefusal(key)) return key;
      return permitted(permissions, 'operator.add', { name, role, key }, approval, async (one) =>
        chainOf(await operators.add(one, request)),
      );
    },
    renew: async (name, request) => chainOf(await operators.renew(name, request)),
    changeRole: (change, kind, approval) =>
      permitted(permissions, `operator.${kind}`, change, approval, (one) =>
        operators.changeRole(one),
      ),
    revoke: (name, approval) =>
      permitted(permissions, 'operator.revoke', { name }, approval, (one) => operators.revoke(one)),
    setMassLimit: (devices, approval) =>
      permitted(permissions, 'limit.mass', { devices }, approval, (one) =>
        operators.setMassLimit(one),
      ),
    statusOrder: async (order, approval, done) => {
      const begun = await beginStatusOrder(permissions, order, approval);
      if (isRefusal(begun)) return begun;
      if (done) await permissions.finish(begun);
      return undefined;
    },
  };
}

/** Each step of the order begins it, or finds it begun. */
async function beginStatusOrder(
  permissions: Permissions,
  order: ActRequests['status.mass'],
  approval: Uint8Array | undefined,
): Promise<Begun<'status.mass'> | Refusal<string>> {
  const approved = await permissions.allow('status.mass', order, approval);
  return isRefusal(approved) ? approved : permissions.begin(approved);
}

async function permitted<Kind extends ActKind, Result>(
  permissions: Permissions,
  kind: Kind,
  request: ActRequests[Kind],
  approval: Uint8Array | undefined,
  act: (approved: Approved<Kind>) => Promise<Result | Refusal<string>>,
): Promise<Result | Refusal<string>> {
  const approved = await permissions.allow(kind, request, approval);
  return isRefusal(approved) ? approved : act(approved);
}
