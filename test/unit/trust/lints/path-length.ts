/** The path length is that of the profile (RFC 5280 §4.2.1.9). */
import * as ext from '../../../../src/wire/x509/extensions.ts';
import {
  type Fixtures,
  authority,
  idevid,
  replaced,
} from '../../../support/issuing/certificateParts.ts';

export const fixtures: Fixtures = {
  good: [[idevid], [authority]],
  bad: [[authority, replaced(ext.basicConstraints({ ca: true }))]],
};
