/**
 * Who calls the API, and what each may. Programs show a certificate, or read with a token (RFC 6750);
 * operators sign the connection with the key that signs their approvals (RFC 9729), wherever that is, or
 * show a certificate where one person is enough. Who shows nothing gets nothing.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { OperatorRole } from '../../trust/ports/approvalStore.ts';
import { EnvironmentError, InvariantError } from '../../trust/ports/faults.ts';
import type { Reader } from '../../trust/registry/readTokens.ts';
import { peerOrVisitor } from './httpDoor.ts';
import { sendProblem } from './problem.ts';

/** Who may use a route. Absent: everybody who comes in. */
export type Admission =
  /** Operators, and tokens: what an application has no business with. */
  | 'staff'
  | {
      /** One of them the operator holds. */
      readonly roles: readonly OperatorRole[];
      /** Applications too. */
      readonly applications?: boolean;
    };

declare module 'fastify' {
  interface FastifyContextConfig {
    readonly may?: Admission;
  }
}

export interface Caller {
  readonly kind: 'application' | 'operator' | 'token';
  /** Who asks, in a form that no two callers share. */
  readonly id: string;
  /** Of an operator whom the authority knows; a certificate alone says nothing of roles. */
  readonly roles: readonly OperatorRole[] | undefined;
  /** Comes in as an application does: it acts on devices and their certificates alone. */
  readonly isLimited: boolean;
}

/** An operator who has signed the connection. */
export interface SignedOperator {
  readonly name: string;
  readonly roles: readonly OperatorRole[];
}

export interface CallerOptions {
  readonly verifyToken: (token: string) => Promise<Reader | undefined>;
  readonly verifyOperator: (
    request: FastifyRequest,
    authorization: string,
  ) => Promise<SignedOperator | undefined>;
  /** One person is enough here: then whoever has a certificate of an operator is that person. */
  readonly isSingleOperator: () => Promise<boolean>;
  readonly onRefusal: (code: string) => void;
}

/** Longest token that is looked at. */
const maximumToken = 256;
const callers = new WeakMap<FastifyRequest, Caller>();

/** Before the routes of the door. */
export function admitCallers(app: FastifyInstance, options: CallerOptions): void {
  const refuse = (reply: FastifyReply, code: string, detail: string): FastifyReply => {
    options.onRefusal(code);
    return sendProblem(reply, { status: 403, code, detail });
  };
  app.addHook('onRequest', async (request, reply) => {
    const caller = await identify(request, options);
    if (caller === undefined) {
      void reply.header('www-authenticate', 'Bearer realm="birthmark"');
      return sendProblem(reply, { status: 401, code: 'unauthorized' });
    }
    const { may } = request.routeOptions.config;
    const isLimited = await comesAsApplication(caller, may, options);
    callers.set(request, { ...caller, isLimited });
    if (caller.kind === 'token' && request.method !== 'GET' && request.method !== 'HEAD') {
      return refuse(reply, 'token-only-reads', 'A token only reads: acts need a certificate.');
    }
    return may === undefined || (await isAdmitted(caller, may, options))
      ? undefined
      : refuse(reply, 'wrong-role', `This is for ${audienceOf(may)}.`);
  });
}

export function callerOf(request: FastifyRequest): Caller {
  const caller = callers.get(request);
  if (caller === undefined) throw new InvariantError('a request came past the door');
  return caller;
}

/** For people: who may. */
export function audienceOf(may: Admission): string {
  if (may === 'staff') return 'operators and tokens';
  const roles = may.roles.join(', ');
  return may.applications === true
    ? `applications and operators with a role of ${roles}`
    : `operators with a role of ${roles}`;
}

/** `undefined` for who shows nothing, or nothing that counts; that has been noted. */
async function identify(
  request: FastifyRequest,
  { verifyToken, verifyOperator, onRefusal }: CallerOptions,
): Promise<Omit<Caller, 'isLimited'> | undefined> {
  const peer = peerOrVisitor(request);
  if (peer !== undefined) {
    const kind = peer.kind === 'operator' ? 'operator' : 'application';
    return { kind, id: `${peer.kind}/${peer.holder}`, roles: undefined };
  }
  const { authorization } = request.headers;
  if (authorization === undefined) {
    onRefusal('no-credential');
    return undefined;
  }
  if (/^concealed /i.test(authorization)) {
    const operator = await verifyOperator(request, authorization);
    if (operator === undefined) onRefusal('bad-operator');
    return operator && { kind: 'operator', id: `signer/${operator.name}`, roles: operator.roles };
  }
  const token = bearerOf(authorization);
  const reader = token === undefined ? undefined : await verifyToken(token);
  if (reader === undefined) onRefusal(token === undefined ? 'no-credential' : 'bad-token');
  return reader && { kind: 'token', id: `token/${reader.id}`, roles: undefined };
}

async function comesAsApplication(
  caller: Omit<Caller, 'isLimited'>,
  may: Admission | undefined,
  options: CallerOptions,
): Promise<boolean> {
  if (typeof may !== 'object' || may.applications !== true) return false;
  try {
    return !(await isAdmitted(caller, { roles: may.roles }, options));
  } catch (error) {
    // An end waits for no authority: who cannot be asked about may the least.
    if (error instanceof EnvironmentError) return true;
    throw error;
  }
}

async function isAdmitted(
  { kind, roles }: Omit<Caller, 'isLimited'>,
  may: Admission,
  { isSingleOperator }: CallerOptions,
): Promise<boolean> {
  if (kind === 'application') return may !== 'staff' && may.applications === true;
  if (may === 'staff') return roles?.length !== 0;
  if (roles !== undefined) return roles.some((role) => may.roles.includes(role));
  return kind === 'operator' && (may.applications === true || (await isSingleOperator()));
}

function bearerOf(authorization: string): string | undefined {
  const [, token] = /^bearer +([\w.~+/-]+=*) *$/i.exec(authorization) ?? [];
  return token === undefined || token.length > maximumToken ? undefined : token;
}
