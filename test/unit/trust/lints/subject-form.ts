/** The attributes of the subject are those of the profile, in their order. */
import { encodeName } from '../../../../src/wire/x509/names.ts';
import {
  type Fixtures,
  authority,
  idevid,
  named,
  organization,
  web,
} from '../../../support/issuing/certificateParts.ts';

export const fixtures: Fixtures = {
  good: [[idevid], [web], [authority]],
  bad: [
    [idevid, () => ({ subject: named })],
    [
      web,
      () => ({
        subject: encodeName(
          ['organizationName', organization],
          ['organizationalUnitName', 'x'],
          ['commonName', 'door'],
        ),
      }),
    ],
  ],
};
