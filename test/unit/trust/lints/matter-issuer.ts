/** What a Matter authority says of vendor and product holds for everything below it. */
import type { Issuer } from '../../../../src/trust/issuance/issuer.ts';
import { encodeName, type NamePart, parseName } from '../../../../src/wire/x509/names.ts';
import {
  type Fixtures,
  matterAuthority,
  matterDevice,
  pai,
} from '../../../support/issuing/certificateParts.ts';

function paiCalled(...ids: readonly NamePart[]): Issuer {
  const subject = encodeName(['organizationName', 'Maker'], ['commonName', 'PAI'], ...ids);
  return { ...pai, subject: parseName(subject) };
}

export const fixtures: Fixtures = {
  // A PAA without vendor serves many.
  good: [[matterDevice], [matterAuthority]],
  bad: [
    [matterDevice, (p) => p, paiCalled()],
    [matterDevice, (p) => p, paiCalled(['matterVendorId', 'FFF2'])],
    [matterDevice, (p) => p, paiCalled(['matterVendorId', 'FFF1'], ['matterProductId', '8001'])],
  ],
};
