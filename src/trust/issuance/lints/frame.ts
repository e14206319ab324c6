/** Version, serial number, issuer and dates (RFC 5280 §4.1). */
import { equal } from '../../../wire/bytes/bytes.ts';
import { tags } from '../../../wire/der/tags.ts';
import { firstGeneralizedTimeMs, noExpirationMs } from '../../../wire/der/time.ts';
import { endOf } from '../prepare.ts';
import type { Rule } from './rule.ts';

export const frameRules: readonly Rule[] = [
  {
    id: 'version-3',
    clause: 'RFC 5280 §4.1.2.1',
    fault: ({ certificate }) =>
      certificate.version === 3 ? undefined : 'a certificate with extensions is of version 3',
  },
  {
    id: 'serial-positive',
    clause: 'RFC 5280 §4.1.2.2',
    fault: ({ certificate: { serialNumber } }) =>
      (serialNumber[0] ?? 0x80) < 0x80 && serialNumber.some((octet) => octet !== 0)
        ? undefined
        : 'the serial number is not positive',
  },
  {
    id: 'serial-length',
    clause: 'RFC 5280 §4.1.2.2',
    fault: ({ certificate }) =>
      certificate.serialNumber.length <= 20
        ? undefined
        : 'the serial number has more than 20 octets',
  },
  {
    id: 'serial-unpredictable',
    clause: 'docs/authority.md: 128 random bits',
    // 128 random bits begin with five zero octets once in 2^40.
    fault: ({ certificate }) =>
      certificate.serialNumber.length >= 12 ? undefined : 'the serial number is no random one',
  },
  {
    id: 'issuer-name',
    clause: 'RFC 5280 §4.1.2.4',
    fault: ({ certificate, issuer }) =>
      certificate.issuer.rdns.length > 0 && equal(certificate.issuer.der, issuer.subject.der)
        ? undefined
        : 'the issuer is not, octet for octet, the subject of the issuing authority',
  },
  {
    id: 'time-encoding',
    clause: 'RFC 5280 §4.1.2.5',
    fault: ({ certificate, dateTags }) => {
      const right = [certificate.notBeforeMs, certificate.notAfterMs].every(
        (dateMs, index) =>
          dateTags[index] ===
          (dateMs < firstGeneralizedTimeMs ? tags.utcTime : tags.generalizedTime),
      );
      return right ? undefined : 'UTCTime goes through 2049, GeneralizedTime from 2050';
    },
  },
  {
    id: 'validity-order',
    clause: 'RFC 5280 §4.1.2.5',
    fault: ({ certificate }) =>
      certificate.notBeforeMs < certificate.notAfterMs ? undefined : 'it ends before it begins',
  },
  {
    id: 'validity-begun',
    clause: 'docs/authority.md: nothing is issued ahead of its time',
    fault: ({ certificate, nowMs }) =>
      certificate.notBeforeMs <= nowMs && certificate.notBeforeMs > nowMs - dayMs
        ? undefined
        : 'it does not begin now',
  },
  {
    id: 'validity-profile',
    clause: 'profile: lifetime',
    fault: ({ certificate, profile, nowMs }) =>
      certificate.notAfterMs <= endOf(profile.lifetime, nowMs) &&
      (profile.lifetime.kind === 'unlimited') === (certificate.notAfterMs === noExpirationMs)
        ? undefined
        : 'it lives longer, or shorter, than its profile says',
  },
  {
    id: 'ends-with-issuer',
    clause: 'docs/authority.md: a leaf ends no later than its issuer',
    fault: ({ certificate, issuer }) =>
      certificate.notAfterMs <= issuer.notAfterMs && certificate.notBeforeMs >= issuer.notBeforeMs
        ? undefined
        : 'it lives before or beyond its issuer',
  },
];

const dayMs = 86_400_000;
