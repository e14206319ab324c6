/** Certificates of every kind, part by part, so that a test of the lints can make any part wrong. */
import assert from 'node:assert/strict';
import { nodeCrypto } from '../../../src/drivers/keys/software/nodeCrypto.ts';
import type { Distribution } from '../../../src/trust/issuance/distribution.ts';
import {
  identifierOfKey,
  type Issuer,
  issuerFrom,
  rootToBe,
} from '../../../src/trust/issuance/issuer.ts';
import { findings } from '../../../src/trust/issuance/lint.ts';
import { allHosts } from '../../../src/trust/issuance/permittedHosts.ts';
import { compileProfile } from '../../../src/trust/issuance/prepare.ts';
import type { Profile } from '../../../src/trust/issuance/profile.ts';
import { builtInProfiles } from '../../../src/trust/issuance/profiles.ts';
import { concat } from '../../../src/wire/bytes/bytes.ts';
import { tags } from '../../../src/wire/der/tags.ts';
import { noExpirationMs } from '../../../src/wire/der/time.ts';
import * as der from '../../../src/wire/der/writer.ts';
import { encodeSignatureAlgorithm } from '../../../src/wire/x509/algorithms.ts';
import { parseCertificate } from '../../../src/wire/x509/certificate.ts';
import { encodeCertificate } from '../../../src/wire/x509/certificateWriter.ts';
import * as ext from '../../../src/wire/x509/extensions.ts';
import { type GeneralName, hardwareModuleName } from '../../../src/wire/x509/generalNames.ts';
import type { Extension } from '../../../src/wire/x509/model.ts';
import { encodeName } from '../../../src/wire/x509/names.ts';
import { exampleGenerationOid, serverGeneration } from '../../../src/wire/x509/serverGeneration.ts';
import { testSigner, type TestSigner } from './world.ts';

export const nowMs: number = Date.UTC(2026, 5, 1, 12);
export const dayMs: number = 86_400_000;
export const organization = 'Maker';
export const deviceId = '0123456789abcdef';

const rootKey = testSigner();
export const factoryKey: TestSigner = testSigner();
const operationalKey = testSigner();
const serverKey = testSigner();
export const leafKey: TestSigner = testSigner();

const rootName = encodeName(['organizationName', organization], ['commonName', 'Root']);
const self = rootToBe(nodeCrypto, rootName, rootKey, {
  notBeforeMs: 0,
  notAfterMs: noExpirationMs,
});
export const root: Issuer = issuer('root', 'root', self, rootKey, 'Root');
export const factory: Issuer = issuer('factory', 'issuing-factory', root, factoryKey, 'Factory');
export const operational: Issuer = issuer(
  'operational',
  'issuing',
  root,
  operationalKey,
  'Operational',
);
export const server: Issuer = issuer('server', 'issuing-server', root, serverKey, 'Servers');

function profile(name: string): Profile {
  const found = builtInProfiles.get(name);
  assert.ok(found);
  return found;
}

/** Issues an authority the regular way: it has to pass every lint itself. */
function issuer(
  role: Issuer['role'],
  profileName: string,
  above: Issuer,
  key: TestSigner,
  name: string,
): Issuer {
  const used = profile(profileName);
  const content = { spki: key.publicKeySpki, name };
  const { tbs } = compileProfile(nodeCrypto, used, above)(content, nowMs);
  assert.deepEqual(findings(nodeCrypto, { tbs, profile: used, issuer: above, nowMs }), []);
  const signature = Uint8Array.of(0);
  return issuerFrom(role, encodeCertificate(tbs, above.signatureAlgorithm, signature), key);
}

/** Everything that a certificate says, each part to be made wrong. */
export interface Parts {
  version: Uint8Array;
  serial: Uint8Array;
  algorithm: Uint8Array;
  issuer: Uint8Array;
  notBefore: Uint8Array;
  notAfter: Uint8Array;
  subject: Uint8Array;
  spki: Uint8Array;
  extensions: Extension[];
}

export interface Kind {
  readonly profile: Profile;
  readonly issuer: Issuer;
  readonly parts: () => Parts;
}

function parts(
  of: Issuer,
  subject: Uint8Array,
  notAfter: Uint8Array,
  extensions: Extension[],
): Parts {
  return {
    version: der.explicit(0, der.integer(2)),
    serial: der.unsignedInteger(Uint8Array.from({ length: 16 }, (_, index) => 0x41 + index)),
    algorithm: encodeSignatureAlgorithm('ecdsa-with-SHA256'),
    issuer: of.subject.der,
    notBefore: der.time(nowMs),
    notAfter,
    subject,
    spki: leafKey.publicKeySpki,
    extensions: [
      ...extensions,
      ext.subjectKeyIdentifier(identifierOfKey(nodeCrypto, leafKey.publicKeySpki)),
      ...(of.role === 'self' ? [] : [ext.authorityKeyIdentifier(of.keyIdentifier)]),
    ],
  };
}

const signerKey = testSigner();
const paaKey = testSigner();
const paiKey = testSigner();
const paaName = encodeName(['organizationName', organization], ['commonName', 'PAA']);
const paaSelf = rootToBe(nodeCrypto, paaName, paaKey, {
  notBeforeMs: 0,
  notAfterMs: noExpirationMs,
});
export const chipSigner: Issuer = issuer(
  'chip-signer',
  'chip-signer',
  root,
  signerKey,
  'Signer 00A1',
);
const paa: Issuer = issuer('matter-paa', 'matter-paa', paaSelf, paaKey, 'PAA');
export const pai: Issuer = issuer('matter-pai', 'matter-pai', paa, paiKey, 'PAI');

export const device: Uint8Array = encodeName(
  ['organizationName', organization],
  ['serialNumber', deviceId],
);
export const named: Uint8Array = encodeName(
  ['organizationName', organization],
  ['commonName', 'door'],
);
export const module: GeneralName = hardwareModuleName({
  hwType: '1.3.6.1.4.1.32473.1',
  hwSerialNum: Uint8Array.of(1),
});

/** Signed by itself, and for the key that `parts` gives everything. */
export const rootItself: Kind = {
  profile: profile('root'),
  issuer: self,
  parts: () =>
    parts(self, rootName, der.time(noExpirationMs), [
      ext.basicConstraints({ ca: true }),
      ext.keyUsage('keyCertSign', 'cRLSign'),
    ]),
};
export const idevid: Kind = {
  profile: profile('idevid'),
  issuer: factory,
  parts: () =>
    parts(factory, device, der.time(noExpirationMs), [
      ext.keyUsage('digitalSignature'),
      ext.subjectAltName([module]),
    ]),
};
export const ldevid: Kind = {
  profile: profile('ldevid'),
  issuer: operational,
  parts: () =>
    parts(operational, device, der.time(nowMs + 365 * dayMs), [
      ext.keyUsage('digitalSignature'),
      ext.extKeyUsage(ext.keyPurposes.clientAuth),
    ]),
};
export const web: Kind = {
  profile: profile('server'),
  issuer: server,
  parts: () =>
    parts(server, named, der.time(nowMs + 90 * dayMs), [
      ext.keyUsage('digitalSignature'),
      ext.extKeyUsage(ext.keyPurposes.serverAuth),
      ext.subjectAltName([{ kind: 'dNSName', text: 'a.example' }]),
    ]),
};
export const distribution: Distribution = {
  authority: 'server',
  baseUrl: 'http://status.example',
  shards: 16,
  responder: true,
};
export const listBase = 'http://status.example/crl/server';
// The serial number of every fixture ends in 0x50.
export const ownList: Extension = ext.cRLDistributionPoints(`${listBase}/0.crl`);
const uri = (text: string) => ({ kind: 'uniformResourceIdentifier', text }) as const;
export const access = (ocsp: string): Extension =>
  ext.authorityInfoAccess(
    { method: ext.accessMethods.ocsp, location: uri(ocsp) },
    { method: ext.accessMethods.caIssuers, location: uri('http://status.example/ca/server.cer') },
  );
export const generation: Extension = serverGeneration(
  { generation: 3, floor: 2, statusKey: new Uint8Array(33).fill(2) },
  exampleGenerationOid,
);
export const listed: Kind = {
  profile: profile('server'),
  issuer: { ...server, distribution },
  parts: () => {
    const usual = web.parts();
    const where = [ownList, access('http://status.example/ocsp/server')];
    return { ...usual, extensions: [...usual.extensions, ...where] };
  },
};
export const responder: Kind = {
  profile: profile('ocsp-server'),
  issuer: { ...server, distribution },
  parts: () =>
    parts(server, named, der.time(nowMs + 7 * dayMs), [
      ext.keyUsage('digitalSignature'),
      ext.extKeyUsage(ext.keyPurposes.ocspSigning),
      ext.ocspNoCheck(),
    ]),
};
export const sessionServer: Kind = {
  profile: profile('session-server'),
  issuer: { ...server, distribution },
  parts: () =>
    parts(server, named, der.time(nowMs + 90 * dayMs), [ext.keyUsage('keyAgreement'), generation]),
};
export const authority: Kind = {
  profile: profile('issuing'),
  issuer: root,
  parts: () =>
    parts(
      root,
      encodeName(['organizationName', organization], ['commonName', 'New']),
      der.time(nowMs + 3653 * dayMs),
      [
        ext.basicConstraints({ ca: true, pathLength: 0 }),
        ext.keyUsage('keyCertSign', 'cRLSign'),
        ext.nameConstraints({ permitted: [], excluded: allHosts }),
      ],
    ),
};

/** As an encoder makes it: what differs is put over it. */
function made(name: string, of: Issuer): Kind {
  const used = profile(name);
  return {
    profile: used,
    issuer: of,
    parts: () => {
      const hardware = { hwType: '1.3.6.1.4.1.32473.1', hwSerialNum: chipSerial };
      const content = { spki: leafKey.publicKeySpki, name: deviceId, hardware };
      const { tbs } = compileProfile(nodeCrypto, used, of)(content, nowMs);
      const unsigned = encodeCertificate(tbs, of.signatureAlgorithm, Uint8Array.of(0));
      const { serialNumber, subject, notBeforeMs, notAfterMs, extensions } =
        parseCertificate(unsigned);
      return {
        version: der.explicit(0, der.integer(2)),
        serial: der.element(tags.integer, serialNumber),
        algorithm: of.signatureAlgorithm,
        issuer: of.subject.der,
        notBefore: der.time(notBeforeMs),
        notAfter: der.time(notAfterMs),
        subject: subject.der,
        spki: leafKey.publicKeySpki,
        extensions: [...extensions],
      };
    },
  };
}

export const chipSerial: Uint8Array = Uint8Array.of(1, 0x23, 2, 3, 4, 5, 6, 7, 0xee);
export const chip: Kind = made('chip-idevid', chipSigner);
export const matterAuthority: Kind = made('matter-pai', paa);
export const matterDevice: Kind = made('matter-dac', pai);

/** The subject of a Matter device with these ids. */
export function matterName(vendorId: string, productId: string): Uint8Array {
  return encodeName(
    ['organizationName', organization],
    ['commonName', deviceId],
    ['matterVendorId', vendorId],
    ['matterProductId', productId],
  );
}

export function encode(p: Parts): Uint8Array {
  return der.sequence(
    p.version,
    p.serial,
    p.algorithm,
    p.issuer,
    der.sequence(p.notBefore, p.notAfter),
    p.subject,
    p.spki,
    ...(p.extensions.length === 0
      ? []
      : [der.explicit(3, der.sequence(...p.extensions.map(ext.encodeExtension)))]),
  );
}

export function findingsOf(
  kind: Kind,
  change: (p: Parts) => Partial<Parts> = () => ({}),
  of: Issuer = kind.issuer,
): string[] {
  const good = kind.parts();
  const tbs = encode({ ...good, ...change(good) });
  return findings(nodeCrypto, { tbs, profile: kind.profile, issuer: of, nowMs }).map(
    ({ rule }) => rule,
  );
}

type Change = (p: Parts) => Pick<Parts, 'extensions'>;

export const without =
  (oid: string): Change =>
  (p) => ({ extensions: p.extensions.filter((extension) => extension.oid !== oid) });
export const replaced =
  (extension: Extension): Change =>
  (p) => ({ extensions: [...without(extension.oid)(p).extensions, extension] });
export const critical = (extension: Extension, value: boolean): Extension => ({
  ...extension,
  critical: value,
});
export const name = (...attributes: Uint8Array[]): Uint8Array =>
  der.sequence(...attributes.map((one) => der.setOf(one)));
export const attribute = (type: string, value: Uint8Array): Uint8Array =>
  der.sequence(der.oid(type), value);
export const compressed = (spki: Uint8Array): Uint8Array => {
  const point = concat(Uint8Array.of(2), spki.subarray(27, 59));
  const algorithm = der.sequence(der.oid('1.2.840.10045.2.1'), der.oid('1.2.840.10045.3.1.7'));
  return der.sequence(algorithm, der.bitString(point));
};

/** A certificate of a kind, what is changed of it, and its issuer where it is another one. */
export type Fixture = readonly [kind: Kind, change?: (p: Parts) => Partial<Parts>, of?: Issuer];

/** What a rule lets pass, and what it finds. */
export interface Fixtures {
  readonly good: readonly Fixture[];
  readonly bad: readonly Fixture[];
}
