/** The profiles that come with Birthmark. */
import { keyPurposes } from '../../wire/x509/extensions.ts';
import { exampleGenerationOid } from '../../wire/x509/serverGeneration.ts';
import { hardwareProfiles } from './hardwareProfiles.ts';
import { birthRoles, checkedProfiles, type IssuerRole, type Profile } from './profile.ts';

/** RFC 9336 §3.1. */
const documentSigning = '1.3.6.1.5.5.7.3.36';

const root: Profile = {
  name: 'root',
  version: 1,
  issuedBy: ['self'],
  subject: 'authority',
  alternativeName: 'none',
  // Retired by removing the anchor: no device has to trust its clock to trust its root.
  lifetime: { kind: 'unlimited' },
  keyUsage: ['keyCertSign', 'cRLSign'],
  keyPurposes: [],
  authority: { excludesHosts: false },
};

/** Issues what devices are: no certificate below it may name a host, so none passes as a server. */
const issuing: Profile = {
  name: 'issuing',
  version: 1,
  issuedBy: ['root'],
  subject: 'authority',
  alternativeName: 'none',
  lifetime: { kind: 'days', days: 3653 },
  keyUsage: ['keyCertSign', 'cRLSign'],
  keyPurposes: [],
  authority: { pathLength: 0, excludesHosts: true },
};

const factory: Profile = {
  ...issuing,
  name: 'issuing-factory',
  // IDevIDs have no end, and a leaf ends no later than its issuer.
  lifetime: { kind: 'unlimited' },
};

const serverAuthority: Profile = {
  ...issuing,
  name: 'issuing-server',
  authority: { pathLength: 0, excludesHosts: false },
};

/** Between two roots of different names: RFC 4210 §4.4 for whoever changed it as RFC 8649 §5 advises. */
const crossRoot: Profile = { ...root, name: 'cross-root', issuedBy: ['root'] };

/** Between two generations of an authority, under one name (RFC 4210 §4.4). */
const links: readonly Profile[] = [
  linkOf('root', root),
  linkOf('factory', factory),
  linkOf('operational', issuing),
  linkOf('server', serverAuthority),
];

/** The identity from birth (IEEE 802.1AR). */
const idevid: Profile = {
  name: 'idevid',
  version: 1,
  issuedBy: ['factory'],
  subject: 'device',
  alternativeName: 'hardware-module',
  lifetime: { kind: 'unlimited' },
  keyUsage: ['digitalSignature'],
  // IEEE 802.1AR §8.10 leaves it open; a birth identity outlives every purpose we could name now.
  keyPurposes: [],
};

/** The operational identity that the present owner gives. */
const ldevid: Profile = {
  name: 'ldevid',
  version: 1,
  issuedBy: ['operational'],
  subject: 'device',
  alternativeName: 'none',
  lifetime: { kind: 'days', days: 365 },
  keyUsage: ['digitalSignature'],
  keyPurposes: [keyPurposes.clientAuth],
};

/** For owners who would rather renew every few days than ask whether something is revoked. */
const shortLived: Profile = {
  ...ldevid,
  name: 'ldevid-short',
  lifetime: { kind: 'days', days: 7 },
};

/** What carries the frames of others: a device, told from sensors by the profile that its rows name. */
const gateway: Profile = { ...ldevid, name: 'gateway' };

/** The only profile with serverAuth and host names. */
const server: Profile = {
  name: 'server',
  version: 1,
  issuedBy: ['server'],
  subject: 'named',
  alternativeName: 'hosts',
  lifetime: { kind: 'days', days: 90 },
  keyUsage: ['digitalSignature'],
  keyPurposes: [keyPurposes.serverAuth],
};

/** What a session server shows to devices that agree with its static key: EDHOC methods 1 and 3. */
const sessionServer: Profile = {
  ...server,
  name: 'session-server',
  alternativeName: 'none',
  keyUsage: ['keyAgreement'],
  keyPurposes: [],
  generationOid: exampleGenerationOid,
};

/** The same where it signs: EDHOC methods 0 and 2. */
const sessionSigner: Profile = {
  ...sessionServer,
  name: 'session-signer',
  keyUsage: ['digitalSignature'],
};

const station: Profile = {
  name: 'station',
  version: 1,
  issuedBy: ['server'],
  subject: 'named',
  alternativeName: 'none',
  lifetime: { kind: 'days', days: 365 },
  keyUsage: ['digitalSignature'],
  keyPurposes: [keyPurposes.clientAuth],
};

const application: Profile = { ...station, name: 'application' };

const operator: Profile = { ...station, name: 'operator' };

/** Signs manifests and yield reports (RFC 9336): good at no door. */
const documents: Profile = {
  ...station,
  name: 'documents',
  lifetime: { kind: 'days', days: 3652 },
  keyPurposes: [documentSigning],
};

/** Authorities whose key is open, so that a responder can be renewed under it. */
export type RespondingRole = 'factory' | 'operational' | 'server';

export const respondingRoles: readonly RespondingRole[] = ['factory', 'operational', 'server'];

/** The responder of one authority; each needs a certificate of the very key it answers for. */
export function responderProfile(role: RespondingRole): string {
  return `ocsp-${role}`;
}

/** RFC 6960 §4.2.2.2: delegated by the authority itself, and renewed before anybody could want to revoke it. */
const responders = respondingRoles.map((role): Profile => ({
  ...station,
  name: responderProfile(role),
  issuedBy: [role],
  lifetime: { kind: 'days', days: 7 },
  keyPurposes: [keyPurposes.ocspSigning],
  noCheck: true,
}));

/** Checked when this module loads: a contradiction stops the program before it issues anything. */
export const builtInProfiles: ReadonlyMap<string, Profile> = checkedProfiles([
  root,
  issuing,
  factory,
  serverAuthority,
  crossRoot,
  ...links,
  idevid,
  ldevid,
  shortLived,
  gateway,
  server,
  sessionServer,
  sessionSigner,
  station,
  application,
  operator,
  documents,
  ...responders,
  ...hardwareProfiles,
]);

/** Names of the profiles that enrolment gives to devices. */
export function deviceProfiles(profiles: ReadonlyMap<string, Profile>): ReadonlySet<string> {
  return new Set([...profiles.values()].filter(isDeviceProfile).map(({ name }) => name));
}

/** Of profiles of authorities that a person added: the log names profiles, and nothing else of them. */
export const addedAuthority = 'authority-';

/** `name@version`, also of certificates that the log alone remembers. */
export function isProfileOfAuthority(profile: string): boolean {
  const [name = ''] = profile.replace(/^lost\//, '').split('@');
  if (name.startsWith(addedAuthority) || name.startsWith('link-')) return true;
  return builtInProfiles.get(name)?.authority !== undefined;
}

export function isDeviceProfile({ subject, issuedBy }: Profile): boolean {
  return subject === 'device' && issuedBy.includes('operational');
}

/** Names of the profiles that elements are born with. */
export function birthProfiles(profiles: ReadonlyMap<string, Profile>): ReadonlySet<string> {
  return new Set([...profiles.values()].filter(isBirthProfile).map(({ name }) => name));
}

export function isBirthProfile({ subject, issuedBy, authority }: Profile): boolean {
  const isElement = subject === 'device' || subject === 'chip' || subject === 'matter';
  return isElement && authority === undefined && issuedBy.some((role) => birthRoles.includes(role));
}

/** Throws a `TypeError` when none of that name came with Birthmark. */
export function builtIn(name: string): Profile {
  const found = builtInProfiles.get(name);
  if (found === undefined) throw new TypeError(`no built-in profile ${name}`);
  return found;
}

/** Of what leads from one generation of such an authority to another. */
export function linkOf(role: IssuerRole, profile: Profile): Profile {
  const authority = { excludesHosts: false, ...profile.authority, linksGenerations: true };
  return { ...profile, name: `link-${role}`, issuedBy: [role], authority };
}
