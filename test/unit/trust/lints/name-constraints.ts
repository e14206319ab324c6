/** Who issues what devices are excludes every host (RFC 5280 §4.2.1.10). */
import { allHosts } from '../../../../src/trust/issuance/permittedHosts.ts';
import * as ext from '../../../../src/wire/x509/extensions.ts';
import {
  type Fixtures,
  authority,
  critical,
  replaced,
  web,
  without,
} from '../../../support/issuing/certificateParts.ts';

export const fixtures: Fixtures = {
  good: [[authority], [web]],
  bad: [
    [authority, without(ext.extensionOids.nameConstraints)],
    [authority, replaced(ext.nameConstraints({ permitted: [], excluded: allHosts.slice(1) }))],
    [
      authority,
      replaced(critical(ext.nameConstraints({ permitted: [], excluded: allHosts }), false)),
    ],
    [web, replaced(ext.nameConstraints({ permitted: [], excluded: allHosts }))],
  ],
};
