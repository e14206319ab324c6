/** keyCertSign and cA go together (RFC 5280 §4.2.1.3). */
import * as ext from '../../../../src/wire/x509/extensions.ts';
import {
  type Fixtures,
  authority,
  idevid,
  replaced,
} from '../../../support/issuing/certificateParts.ts';

export const fixtures: Fixtures = {
  good: [[authority], [idevid]],
  bad: [[idevid, replaced(ext.keyUsage('keyCertSign'))]],
};
