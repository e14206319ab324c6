/** Profiles that a chip or an ecosystem prescribes: Microchip's compressed certificates, and Matter. */
import type { Profile } from './profile.ts';

/**
 * Certifies chips that keep their certificate in 72 bytes. Its common name ends in a blank and four
 * upper-case hexadecimal digits, by which a reader of a chip finds it.
 */
const chipSigner: Profile = {
  name: 'chip-signer',
  version: 1,
  issuedBy: ['root'],
  subject: 'authority',
  alternativeName: 'none',
  lifetime: { kind: 'unlimited' },
  keyUsage: ['keyCertSign', 'cRLSign'],
  keyPurposes: [],
  keyIdentifier: 'sha1',
  authority: { pathLength: 0, excludesHosts: true },
};

/** The identity from birth of an ATECC, rebuilt by whoever reads the chip (docs/ca.md). */
const chipIdevid: Profile = {
  name: 'chip-idevid',
  version: 1,
  issuedBy: ['chip-signer'],
  subject: 'chip',
  alternativeName: 'none',
  // As Microchip's own: 28 years after a year before 2050, notAfter is GeneralizedTime for good.
  lifetime: { kind: 'years', years: 28 },
  keyUsage: ['digitalSignature'],
  keyPurposes: [],
  keyIdentifier: 'sha1',
  compressed: { templateId: 2, chainId: 0 },
};

/** Matter Core Specification §6.2.2.5: product attestation authority. */
const matterPaa: Profile = {
  name: 'matter-paa',
  version: 1,
  issuedBy: ['self'],
  subject: 'matter',
  alternativeName: 'none',
  lifetime: { kind: 'unlimited' },
  keyUsage: ['keyCertSign', 'cRLSign'],
  keyPurposes: [],
  matter: {},
  authority: { pathLength: 1, excludesHosts: false },
};

/** §6.2.2.4: product attestation intermediate, of one vendor. FFF1 is a vendor for tests. */
const matterPai: Profile = {
  ...matterPaa,
  name: 'matter-pai',
  issuedBy: ['matter-paa'],
  matter: { vendorId: 'FFF1' },
  authority: { pathLength: 0, excludesHosts: false },
};

/** §6.2.2.3: device attestation certificate; a maker adds one of its own with its vendor and product. */
const matterDac: Profile = {
  name: 'matter-dac',
  version: 1,
  issuedBy: ['matter-pai'],
  subject: 'matter',
  alternativeName: 'none',
  lifetime: { kind: 'unlimited' },
  keyUsage: ['digitalSignature'],
  keyPurposes: [],
  matter: { vendorId: 'FFF1', productId: '8000' },
};

export const hardwareProfiles: readonly Profile[] = [
  chipSigner,
  chipIdevid,
  matterPaa,
  matterPai,
  matterDac,
];
