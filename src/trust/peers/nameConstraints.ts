/**
 * Name constraints (RFC 5280 §4.2.1.10): whether the names of a certificate are among those that the
 * authorities above it may certify. An empty constraint text stands for every name of its kind.
 */
import type { NameConstraints } from '../../wire/x509/extensions.ts';
import type { GeneralName, GeneralNameKind } from '../../wire/x509/generalNames.ts';
import type { Certificate } from '../../wire/x509/model.ts';
import { attributeText, isEmptyName, startsWithName } from '../../wire/x509/names.ts';

/** Names of one certificate that are judged; each is held against every constraint above it. */
const maximumNames = 256;

/**
 * The kind of the first name that breaks a constraint; `undefined` when none does. `constraints` are
 * those of all authorities above: permitted names must satisfy each, excluded ones any.
 */
export function excludedName(
  certificate: Certificate,
  alternativeNames: readonly GeneralName[],
  constraints: readonly NameConstraints[],
): GeneralNameKind | undefined {
  if (constraints.length === 0) return undefined;
  const names = namesOf(certificate, alternativeNames);
  const excess = names[maximumNames];
  if (excess !== undefined) return excess.kind;
  return names.find((name) => constraints.some((constraint) => breaks(name, constraint)))?.kind;
}

function namesOf(
  { subject }: Certificate,
  alternativeNames: readonly GeneralName[],
): readonly GeneralName[] {
  const names = [...alternativeNames];
  if (!isEmptyName(subject)) names.push({ kind: 'directoryName', name: subject });
  // RFC 5280 §4.2.1.10: without a mailbox among the alternative names the subject's counts.
  const mailbox = attributeText(subject, 'emailAddress');
  if (mailbox !== undefined && !alternativeNames.some(({ kind }) => kind === 'rfc822Name')) {
    names.push({ kind: 'rfc822Name', text: mailbox });
  }
  return names;
}

function breaks(name: GeneralName, { permitted, excluded }: NameConstraints): boolean {
  if (excluded.some((base) => base.kind === name.kind && mayCover(base, name))) return true;
  const ofKind = permitted.filter((base) => base.kind === name.kind);
  return ofKind.length > 0 && !ofKind.some((base) => covers(base, name));
}

/** Whether the name is surely within the subtree. What cannot be judged is not. */
function covers(base: GeneralName, name: GeneralName): boolean {
  return judge(base, name) === 'inside';
}

/** Whether the name may be within the subtree. What cannot be judged may be (RFC 5280 §4.2.1.10: reject). */
function mayCover(base: GeneralName, name: GeneralName): boolean {
  return judge(base, name) !== 'outside';
}

type Judgement = 'inside' | 'outside' | 'unknown';

function judge(base: GeneralName, name: GeneralName): Judgement {
  if (base.kind === 'dNSName' && name.kind === 'dNSName') return judgeDns(base.text, name.text);
  if (base.kind === 'rfc822Name' && name.kind === 'rfc822Name') {
    return judgeMailbox(base.text, name.text);
  }
  if (base.kind === 'uniformResourceIdentifier' && name.kind === 'uniformResourceIdentifier') {
    return judgeUri(base.text, name.text);
  }
  if (base.kind === 'iPAddress' && name.kind === 'iPAddress') {
    return judgeAddress(base.address, name.address);
  }
  if (base.kind === 'directoryName' && name.kind === 'directoryName') {
    return startsWithName(name.name, base.name) ? 'inside' : 'outside';
  }
  return 'unknown';
}

/** Zero or more labels in front of the base. */
function judgeDns(base: string, name: string): Judgement {
  const domain = lower(base);
  const host = lower(name);
  if (domain === '') return 'inside';
  if (host === domain || host.endsWith(`.${withoutDot(domain)}`)) return 'inside';
  // `*.example.com` stands for `a.example.com` too, which the base may be.
  const wildcard = host.startsWith('*.') && `.${withoutDot(domain)}`.endsWith(host.slice(1));
  return wildcard ? 'unknown' : 'outside';
}

/** A mailbox, a host, or with a dot in front every host below. */
function judgeMailbox(base: string, name: string): Judgement {
  if (base === '') return 'inside';
  const at = name.lastIndexOf('@');
  if (at < 1) return 'unknown';
  // RFC 5280 §7.5: the local part is compared exactly, the host without case.
  const baseAt = base.lastIndexOf('@');
  if (baseAt >= 0 && base.slice(0, baseAt) !== name.slice(0, at)) return 'outside';
  return judgeHost(base.slice(baseAt + 1), name.slice(at + 1));
}

function judgeUri(base: string, name: string): Judgement {
  if (base === '') return 'inside';
  const host = /^[A-Za-z][A-Za-z0-9+.-]*:\/\/(?:[^/?#@]*@)?([^/?#:[\]]+)(?::\d*)?(?:[/?#]|$)/.exec(
    name,
  )?.[1];
  // RFC 5280 §4.2.1.10: a URI without a host name is rejected where URIs are constrained.
  return host === undefined ? 'unknown' : judgeHost(base, host);
}

function judgeHost(base: string, name: string): Judgement {
  const domain = lower(base);
  const host = lower(name);
  const inside = domain.startsWith('.') ? host.endsWith(domain) : host === domain;
  return inside ? 'inside' : 'outside';
}

/** `base` is an address and a mask of the same length behind it. */
function judgeAddress(base: Uint8Array, address: Uint8Array): Judgement {
  if (base.length !== 8 && base.length !== 32) return 'unknown';
  if (address.length !== 4 && address.length !== 16) return 'unknown';
  if (base.length !== address.length * 2) return 'outside';
  const inside = address.every((octet, index) => {
    const mask = base[address.length + index] ?? 0;
    return (octet & mask) === ((base[index] ?? 0) & mask);
  });
  return inside ? 'inside' : 'outside';
}

function lower(text: string): string {
  return text.toLowerCase().replace(/\.$/, '');
}

function withoutDot(domain: string): string {
  return domain.startsWith('.') ? domain.slice(1) : domain;
}
