/**
 * Certificates of one profile and issuer differ in five values: serial number, holder, key, key identifier
 * and hardware serial. When all other octets of one are those of a certificate that was read and passed,
 * reading it again would find the same structure: only the values are taken from it. The rules run over
 * every certificate all the same.
 */
import type { Crypto } from '../../../wire/crypto/crypto.ts';
import type { GeneralName } from '../../../wire/x509/generalNames.ts';
import type { Certificate, NameAttribute } from '../../../wire/x509/model.ts';
import { attributeTypes } from '../../../wire/x509/names.ts';
import { identifierIn, type Issuer } from '../issuer.ts';
import { type Profile, profileLabel } from '../profile.ts';
import type { LintSubject } from './rule.ts';

/** Content octets of a primitive element, counted from the start of the TBSCertificate. */
interface Place {
  readonly start: number;
  readonly end: number;
}

interface Sibling {
  readonly subject: LintSubject;
  /** Values that may differ, in their order. */
  readonly places: readonly Place[];
}

export interface SiblingInput {
  readonly tbs: Uint8Array;
  readonly profile: Profile;
  readonly issuer: Issuer;
  readonly nowMs: number;
}

/** Lengths that are remembered of one profile; they vary with uid and serial number. */
const maximumLengths = 64;

export class Siblings {
  /** By issuer, then by profile and length. */
  readonly #known = new WeakMap<Issuer, Map<string, Sibling>>();

  /** What `tbs` says, if it differs from one that was learned in those values alone. */
  resembling(crypto: Crypto, input: SiblingInput): LintSubject | undefined {
    const sibling = this.#known.get(input.issuer)?.get(kindOf(input.profile, input.tbs));
    if (sibling === undefined || !isSibling(sibling, input.tbs)) return undefined;
    const subject = transferred(crypto, sibling, input);
    return isShortest(subject.certificate.serialNumber) ? subject : undefined;
  }

  /** `subject` was read from its own octets and passed every rule. */
  learn(subject: LintSubject): void {
    const places = placesOf(subject);
    if (places === undefined) return;
    const { issuer, profile, certificate } = subject;
    const known = this.#known.get(issuer) ?? new Map<string, Sibling>();
    this.#known.set(issuer, known);
    const kind = kindOf(profile, certificate.tbs);
    if (known.size < maximumLengths || known.has(kind)) known.set(kind, { subject, places });
  }
}

function kindOf(profile: Profile, tbs: Uint8Array): string {
  return `${profileLabel(profile)} ${tbs.length}`;
}

/** `undefined` when a value is not where it could be found again. */
function placesOf({
  certificate,
  hardwareModule,
  subjectKeyIdentifier,
}: LintSubject): readonly Place[] | undefined {
  const { tbs, serialNumber, publicKey } = certificate;
  const holder = holderOf(certificate);
  const views = [serialNumber, holder?.value, publicKey.key, subjectKeyIdentifier];
  if (hardwareModule !== undefined) views.push(hardwareModule.hwSerialNum);
  const places: Place[] = [];
  for (const view of views) {
    if (view === undefined || view.buffer !== tbs.buffer) return undefined;
    const start = view.byteOffset - tbs.byteOffset;
    places.push({ start, end: start + view.length });
  }
  return places.sort((left, right) => left.start - right.start);
}

/** The attribute that names the holder: serialNumber or commonName. */
function holderOf({ subject }: Certificate): NameAttribute | undefined {
  return subject.rdns
    .flat()
    .find(({ type }) => type === attributeTypes.serialNumber || type === attributeTypes.commonName);
}

function isSibling({ subject, places }: Sibling, tbs: Uint8Array): boolean {
  const known = subject.certificate.tbs;
  let offset = 0;
  for (const { start, end } of places) {
    for (; offset < start; offset++) if (known[offset] !== tbs[offset]) return false;
    offset = end;
  }
  for (; offset < tbs.length; offset++) if (known[offset] !== tbs[offset]) return false;
  return true;
}

/** The same structure over other octets; what cannot differ is kept as it was. */
function transferred(
  crypto: Crypto,
  { subject: known, places }: Sibling,
  input: SiblingInput,
): LintSubject {
  const { tbs, profile, issuer, nowMs } = input;
  const old = known.certificate;
  const here = (view: Uint8Array): Uint8Array => {
    const start = view.byteOffset - old.tbs.byteOffset;
    const end = start + view.length;
    const differs = places.some((place) => start <= place.start && place.end <= end);
    return differs ? tbs.subarray(start, end) : view;
  };
  const key = here(old.publicKey.key);
  const certificate: Certificate = {
    ...old,
    der: tbs,
    tbs,
    serialNumber: here(old.serialNumber),
    subject: {
      der: here(old.subject.der),
      rdns: old.subject.rdns.map((rdn) => rdnHere(rdn, here)),
    },
    publicKey: { ...old.publicKey, spki: here(old.publicKey.spki), key },
    extensions: old.extensions.map((extension) => {
      const value = here(extension.value);
      return value === extension.value ? extension : { ...extension, value };
    }),
  };
  const { hardwareModule, subjectKeyIdentifier, alternativeNames } = known;
  return {
    ...known,
    certificate,
    profile,
    issuer,
    nowMs,
    crypto,
    alternativeNames: alternativeNames?.map((name) => nameHere(name, here)),
    hardwareModule: hardwareModule && {
      hwType: hardwareModule.hwType,
      hwSerialNum: here(hardwareModule.hwSerialNum),
    },
    subjectKeyIdentifier: subjectKeyIdentifier && here(subjectKeyIdentifier),
    keyIdentifier: identifierIn(profile, crypto, key),
  };
}

function rdnHere(
  rdn: readonly NameAttribute[],
  here: (view: Uint8Array) => Uint8Array,
): readonly NameAttribute[] {
  return rdn.map(({ type, tag, value }) => ({ type, tag, value: here(value) }));
}

function nameHere(name: GeneralName, here: (view: Uint8Array) => Uint8Array): GeneralName {
  return name.kind === 'otherName' ? { ...name, value: here(name.value) } : name;
}

/** X.690 §8.3.2: the one rule of encoding that lies in the content octets of a value. */
function isShortest([first, second]: Uint8Array): boolean {
  if (second === undefined) return true;
  return first === 0 ? second >= 0x80 : first !== 0xff || second < 0x80;
}
