/** An authority speaks for one organization. */
import { encodeName } from '../../../../src/wire/x509/names.ts';
import { type Fixtures, deviceId, idevid } from '../../../support/issuing/certificateParts.ts';

export const fixtures: Fixtures = {
  good: [[idevid]],
  bad: [
    [
      idevid,
      () => ({ subject: encodeName(['organizationName', 'Other'], ['serialNumber', deviceId]) }),
    ],
  ],
};
