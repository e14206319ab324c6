/** The key is for what its profile says. */
import * as ext from '../../../../src/wire/x509/extensions.ts';
import { type Fixtures, idevid, replaced } from '../../../support/issuing/certificateParts.ts';

export const fixtures: Fixtures = {
  good: [[idevid]],
  bad: [[idevid, replaced(ext.keyUsage('digitalSignature', 'keyAgreement'))]],
};
