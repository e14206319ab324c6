/** Alternative names beside a subject are not critical (RFC 5280 §4.2.1.6). */
import * as ext from '../../../../src/wire/x509/extensions.ts';
import {
  type Fixtures,
  idevid,
  module,
  replaced,
  web,
} from '../../../support/issuing/certificateParts.ts';

export const fixtures: Fixtures = {
  good: [[idevid], [web]],
  bad: [[idevid, replaced(ext.subjectAltName([module], true))]],
};
