/** Every lint, one file each, in the order in which a certificate is read. */
import type { Rule } from './rule.ts';
import { rule as aki } from './rules/aki.ts';
import { rule as akiKeyOnly } from './rules/aki-key-only.ts';
import { rule as basicConstraints } from './rules/basic-constraints.ts';
import { rule as certSignMeansAuthority } from './rules/cert-sign-means-authority.ts';
import { rule as compressedForm } from './rules/compressed-form.ts';
import { rule as distributionPoint } from './rules/distribution-point.ts';
import { rule as endsWithIssuer } from './rules/ends-with-issuer.ts';
import { rule as informationAccess } from './rules/information-access.ts';
import { rule as issuerName } from './rules/issuer-name.ts';
import { rule as issuerRole } from './rules/issuer-role.ts';
import { rule as keyPurposesProfile } from './rules/key-purposes-profile.ts';
import { rule as keyUsageCritical } from './rules/key-usage-critical.ts';
import { rule as keyUsageProfile } from './rules/key-usage-profile.ts';
import { rule as knownExtensions } from './rules/known-extensions.ts';
import { rule as matterAlgorithms } from './rules/matter-algorithms.ts';
import { rule as matterIds } from './rules/matter-ids.ts';
import { rule as matterIssuer } from './rules/matter-issuer.ts';
import { rule as nameConstraints } from './rules/name-constraints.ts';
import { rule as noAnyPurpose } from './rules/no-any-purpose.ts';
import { rule as noCheck } from './rules/no-check.ts';
import { rule as pathBelowIssuer } from './rules/path-below-issuer.ts';
import { rule as pathLength } from './rules/path-length.ts';
import { rule as rootCommitment } from './rules/root-commitment.ts';
import { rule as sanCriticality } from './rules/san-criticality.ts';
import { rule as sanForm } from './rules/san-form.ts';
import { rule as sanHostNames } from './rules/san-host-names.ts';
import { rule as sanPermitted } from './rules/san-permitted.ts';
import { rule as selfIssued } from './rules/self-issued.ts';
import { rule as serialLength } from './rules/serial-length.ts';
import { rule as serialPositive } from './rules/serial-positive.ts';
import { rule as serialUnpredictable } from './rules/serial-unpredictable.ts';
import { rule as serverGeneration } from './rules/server-generation.ts';
import { rule as ski } from './rules/ski.ts';
import { rule as subjectChipSerial } from './rules/subject-chip-serial.ts';
import { rule as subjectDeviceId } from './rules/subject-device-id.ts';
import { rule as subjectForm } from './rules/subject-form.ts';
import { rule as subjectKey } from './rules/subject-key.ts';
import { rule as subjectKeyIsNotTheIssuers } from './rules/subject-key-is-not-the-issuers.ts';
import { rule as subjectOrganization } from './rules/subject-organization.ts';
import { rule as subjectPresent } from './rules/subject-present.ts';
import { rule as subjectStrings } from './rules/subject-strings.ts';
import { rule as timeEncoding } from './rules/time-encoding.ts';
import { rule as validityBegun } from './rules/validity-begun.ts';
import { rule as validityOrder } from './rules/validity-order.ts';
import { rule as validityProfile } from './rules/validity-profile.ts';
import { rule as version3 } from './rules/version-3.ts';

export const rules: readonly Rule[] = [
  version3,
  serialPositive,
  serialLength,
  serialUnpredictable,
  issuerName,
  timeEncoding,
  validityOrder,
  validityBegun,
  validityProfile,
  endsWithIssuer,
  subjectPresent,
  subjectStrings,
  subjectForm,
  subjectOrganization,
  subjectDeviceId,
  subjectChipSerial,
  selfIssued,
  rootCommitment,
  sanCriticality,
  sanForm,
  sanHostNames,
  sanPermitted,
  subjectKey,
  subjectKeyIsNotTheIssuers,
  ski,
  aki,
  akiKeyOnly,
  keyUsageCritical,
  keyUsageProfile,
  keyPurposesProfile,
  noAnyPurpose,
  basicConstraints,
  pathLength,
  pathBelowIssuer,
  certSignMeansAuthority,
  nameConstraints,
  issuerRole,
  knownExtensions,
  distributionPoint,
  informationAccess,
  noCheck,
  serverGeneration,
  matterIds,
  matterIssuer,
  matterAlgorithms,
  compressedForm,
];
