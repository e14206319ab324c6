/**
 * A key ceremony: one file says everything that is going to be made, and people can read it before; a
 * transcript says what was made, and people can sign it after. Held again with the same file, it finds what
 * is there and makes what is missing.
 */
import { basename } from 'node:path';
import { parseHex, toHex } from '../../wire/bytes/hex.ts';
import { MalformedError } from '../../wire/bytes/malformed.ts';
import { utf8 } from '../../wire/bytes/utf8.ts';
import { noExpirationMs } from '../../wire/der/time.ts';
import { parseCertificate } from '../../wire/x509/certificate.ts';
import { printName } from '../../wire/x509/names.ts';
import { parsePem } from '../../wire/x509/pem.ts';
import { parseKeyUri } from '../../drivers/keys/pkcs11/keyUri.ts';
import { nodeCrypto } from '../../drivers/keys/software/nodeCrypto.ts';
import { usualMassLimit } from '../../trust/approvals/twoPersons.ts';
import { type AuthorityRecord, defaultBook, offlineKey, parseBook } from './book.ts';
import { initializeAuthority, type InitializeOptions, type InitializeStep } from './initialize.ts';
import { beginTwoPersons, type TwoPersonPlan } from './twoPersons.ts';

export interface CeremonyPlan {
  readonly organization: string;
  readonly eui64Base: Uint8Array | undefined;
  readonly authorities: readonly AuthorityRecord[];
  /** Dangerous acts take two from the beginning, and who the first two are. */
  readonly twoPersons: TwoPersonPlan | undefined;
  /** Who is there, with what they are there for. */
  readonly present: readonly string[];
  /** Of the file, as it was read. */
  readonly sha256: Uint8Array;
}

export type CeremonyOptions = Pick<
  InitializeOptions,
  'dataFolder' | 'passphrase' | 'clock' | 'costLog2' | 'store' | 'rootCertificate'
>;

const members = ['organization', 'eui64', 'authorities', 'present', 'twoPersons'];
const maximumPresent = 32;

/** Throws a `MalformedError` that names the member: a member that is not known is a slip, not a wish. */
export function parseCeremony(text: string): CeremonyPlan {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    fail('no JSON');
  }
  if (typeof parsed !== 'object' || parsed === null) fail('no object');
  const unknown = Object.keys(parsed).find((name) => !members.includes(name));
  if (unknown !== undefined) fail(`${unknown} is no member of it`);
  const member = (name: string): unknown => Reflect.get(parsed, name);
  const eui64 = member('eui64');
  const eui64Base = typeof eui64 === 'string' ? parseHex(eui64) : undefined;
  if (eui64 !== undefined && eui64Base?.length !== 8) fail('eui64 is not 16 hexadecimal digits');
  const written = member('authorities');
  const authorities = written === undefined ? defaultBook : parseBook(written);
  for (const { name, key, state } of authorities) {
    if (state !== 'active') fail(`${name} is not active, as everything is at the beginning`);
    if (key !== undefined && key !== offlineKey) parseKeyUri(key);
  }
  return {
    organization: line(member('organization'), 64) ?? fail('organization'),
    eui64Base,
    authorities,
    twoPersons: twoPersonsOf(member('twoPersons')),
    present: peopleOf(member('present')),
    sha256: nodeCrypto.hash('SHA-256', utf8(text)),
  };
}

/** The transcript, a line each. Rejects as `initializeAuthority` does, and then nothing is to be signed. */
export async function holdCeremony(
  plan: CeremonyPlan,
  options: CeremonyOptions,
): Promise<readonly string[]> {
  const { organization, eui64Base, authorities } = plan;
  const begun = options.clock.nowMs();
  const steps: InitializeStep[] = [];
  const { pending } = await initializeAuthority({
    ...options,
    organization,
    authorities,
    ...(eui64Base === undefined ? {} : { eui64Base }),
    onStep: (step) => steps.push(step),
  });
  const isComplete = pending.length === 0;
  const admins =
    plan.twoPersons && isComplete ? await beginTwoPersons(options, plan.twoPersons) : undefined;
  return [
    `Key ceremony of ${organization}`,
    `Begun ${time(begun)}, ended ${time(options.clock.nowMs())}`,
    `SHA-256 of the plan: ${toHex(plan.sha256)}`,
    `Node ${process.versions.node}, OpenSSL ${process.versions.openssl}`,
    '',
    ...steps.flatMap((step, index) => linesOf(step, index + 1)),
    ...pending.map((file) => `Waits for the root on another machine: ${basename(file)}`),
    ...(isComplete ? [] : ['Held again when its certificates are here.', '']),
    ...adminLines(admins?.chains),
    'Present:',
    ...plan.present.map((person) => `  ${person}  ______________________________`),
  ];
}

/** What the plan would make, for people to read before. */
export function describePlan({
  organization,
  authorities,
  twoPersons,
}: CeremonyPlan): readonly string[] {
  return [
    `Authorities of ${organization}:`,
    ...authorities.map(
      ({ name, algorithm, key }) => `  ${name}: ${algorithm}, key in ${key ?? 'an encrypted file'}`,
    ),
    ...(twoPersons === undefined
      ? [singleOperatorText]
      : [
          `Two persons for dangerous acts. Admins: ${twoPersons.admins.map(({ name }) => name).join(', ')}`,
        ]),
  ];
}

function linesOf({ name, key, algorithm, certificate }: InitializeStep, number: number): string[] {
  const { subject, issuer, serialNumber, publicKey, notAfterMs } = parseCertificate(certificate);
  const end = notAfterMs === noExpirationMs ? 'no end' : time(notAfterMs);
  return [
    `${number}. ${name}.pem`,
    `   subject      ${printName(subject)}`,
    `   issuer       ${printName(issuer)}`,
    `   key          ${algorithm}, in ${key === 'file' ? 'an encrypted file' : key}`,
    `   key SHA-256  ${toHex(nodeCrypto.hash('SHA-256', publicKey.spki))}`,
    `   serial       ${toHex(serialNumber)}`,
    `   ends         ${end}`,
    `   SHA-256      ${toHex(nodeCrypto.hash('SHA-256', certificate))}`,
    '',
  ];
}

const singleOperatorText =
  'One person is enough for every act: SINGLE-OPERATOR MODE, for evaluation';

function adminLines(
  chains: ReadonlyMap<string, readonly Uint8Array[]> | undefined,
): readonly string[] {
  if (chains === undefined) return [singleOperatorText, ''];
  const lines = [...chains].map(([name, [certificate = new Uint8Array(0)]]) => {
    return `  ${name}  SHA-256 ${toHex(nodeCrypto.hash('SHA-256', certificate))}`;
  });
  return ['Two persons for dangerous acts, the first admins:', ...lines, ''];
}

/** `{ "massLimit": 100, "admins": { NAME: PKCS#10 in PEM, ... } }`: so that the plan's hash covers the keys. */
function twoPersonsOf(value: unknown): TwoPersonPlan | undefined {
  if (value === undefined) return undefined;
  if (typeof value !== 'object' || value === null) fail('twoPersons is no object');
  const massLimit: unknown = Reflect.get(value, 'massLimit') ?? usualMassLimit;
  const admins: unknown = Reflect.get(value, 'admins');
  const known = Object.keys(value).every((name) => name === 'massLimit' || name === 'admins');
  if (!known || typeof massLimit !== 'number' || !Number.isSafeInteger(massLimit)) {
    fail('twoPersons has the members massLimit and admins');
  }
  if (typeof admins !== 'object' || admins === null) fail('twoPersons.admins');
  return {
    massLimit,
    admins: Object.entries(admins).map(([name, pem]: [string, unknown]) => ({
      name,
      request: parsePem(typeof pem === 'string' ? pem : fail(name), 'CERTIFICATE REQUEST'),
    })),
  };
}

function peopleOf(value: unknown): readonly string[] {
  if (value === undefined) return [];
  if (!Array.isArray(value) || value.length > maximumPresent) fail('present is no list of names');
  return value.map((person: unknown) => line(person, 100) ?? fail('present holds no name'));
}

function line(value: unknown, most: number): string | undefined {
  if (typeof value !== 'string' || value === '' || value.length > most) return undefined;
  return /\p{Cc}/u.test(value) ? undefined : value;
}

function time(timeMs: number): string {
  return new Date(timeMs).toISOString();
}

function fail(problem: string): never {
  throw new MalformedError('ceremony', 0, problem);
}
