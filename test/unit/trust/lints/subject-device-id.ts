/** A device is called by its device id (IEEE 802.1AR). */
import { encodeName } from '../../../../src/wire/x509/names.ts';
import {
  type Fixtures,
  idevid,
  ldevid,
  organization,
  web,
} from '../../../support/issuing/certificateParts.ts';

export const fixtures: Fixtures = {
  good: [[idevid], [ldevid], [web]],
  bad: [
    [
      idevid,
      () => ({
        subject: encodeName(['organizationName', organization], ['serialNumber', 'WT1234']),
      }),
    ],
  ],
};
