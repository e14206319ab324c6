/** Which authorities each door believes, and for what: a certificate is good at one kind of door only. */
import type { Hierarchy } from '../../trust/ports/authority.ts';
import type { CertificateKind, ForeignAuthority } from '../../trust/ports/registryStore.ts';
import type { PathRules, TrustAnchor } from '../../trust/peers/paths.ts';
import { parseCertificate } from '../../wire/x509/certificate.ts';
import type { Certificate } from '../../wire/x509/model.ts';
import { encodePem } from '../../wire/x509/pem.ts';

export const doorNames = ['device', 'station', 'api', 'mqtt'] as const;

export type DoorName = (typeof doorNames)[number];

type Level = 'factory' | 'operational' | 'server';

/** Of whose certificates which kinds open the door. */
const opens: Readonly<
  Record<DoorName, ReadonlyArray<readonly [Level, readonly CertificateKind[]]>>
> = {
  device: [
    ['factory', ['idevid']],
    ['operational', ['ldevid']],
  ],
  station: [['server', ['station']]],
  api: [['server', ['application', 'operator']]],
  mqtt: [
    ['operational', ['ldevid']],
    ['server', ['application']],
  ],
};

/** Whom the doors believe. */
export interface Believed {
  readonly hierarchy: Hierarchy;
  readonly foreign: readonly ForeignAuthority[];
  /** How long after its end an LDevID opens the door of devices, for its renewal. */
  readonly renewalGraceMs: number;
}

/** The authorities of this installation and those of other makers, as the doors use them. */
export class DoorTrust {
  readonly #listeners: Array<() => void> = [];
  #rules: Readonly<Record<DoorName, PathRules>>;

  /** Throws a `MalformedError` or `UnsupportedError` when a certificate cannot be read. */
  constructor(believed: Believed) {
    this.#rules = rulesOf(believed);
  }

  /** What is removed here counts from the next connection on. */
  replace(believed: Believed): void {
    this.#rules = rulesOf(believed);
    for (const listener of this.#listeners) listener();
  }

  onReplace(listener: () => void): void {
    this.#listeners.push(listener);
  }

  rules(door: DoorName): PathRules {
    return this.#rules[door];
  }

  /** For the hint in the handshake. */
  anchorsPem(door: DoorName): readonly string[] {
    return this.#rules[door].anchors.map(({ certificate }) =>
      encodePem('CERTIFICATE', certificate.der),
    );
  }
}

function rulesOf({
  hierarchy,
  foreign,
  renewalGraceMs,
}: Believed): Readonly<Record<DoorName, PathRules>> {
  const certificates: Readonly<Record<Level, readonly Certificate[]>> = {
    factory: hierarchy.factory.map(parseCertificate),
    operational: hierarchy.operational.map(parseCertificate),
    server: hierarchy.server.map(parseCertificate),
  };
  const own = (door: DoorName): PathRules => ({
    anchors: opens[door].flatMap(([level, kinds]) =>
      certificates[level].map((certificate) => ({ certificate, kinds })),
    ),
    intermediates: [],
  });
  const device = own('device');
  const isForeign = (role: ForeignAuthority['role']): readonly Certificate[] =>
    foreign
      .filter((authority) => authority.role === role)
      .map(({ certificate }) => parseCertificate(certificate));
  const foreignAnchors: readonly TrustAnchor[] = isForeign('anchor').map((certificate) => ({
    certificate,
    kinds: ['idevid'],
  }));
  // What a device may do past its end is its renewal alone: the routes behind the door see to that.
  const deviceAnchors = device.anchors.map((anchor) =>
    anchor.kinds.includes('ldevid') ? { ...anchor, expiryGraceMs: renewalGraceMs } : anchor,
  );
  return {
    device: {
      anchors: [...deviceAnchors, ...foreignAnchors],
      intermediates: isForeign('intermediate'),
    },
    station: own('station'),
    api: own('api'),
    mqtt: own('mqtt'),
  };
}
