/** Who is an authority says so, critically (RFC 5280 §4.2.1.9). */
import * as ext from '../../../../src/wire/x509/extensions.ts';
import {
  type Fixtures,
  authority,
  critical,
  idevid,
  matterDevice,
  replaced,
  without,
} from '../../../support/issuing/certificateParts.ts';

export const fixtures: Fixtures = {
  good: [[idevid], [authority], [matterDevice]],
  bad: [
    [idevid, replaced(ext.basicConstraints({ ca: true }))],
    [authority, without(ext.extensionOids.basicConstraints)],
    [authority, replaced(critical(ext.basicConstraints({ ca: true, pathLength: 0 }), false))],
    [matterDevice, without(ext.extensionOids.basicConstraints)],
    [matterDevice, replaced(critical(ext.basicConstraints({ ca: false }), false))],
    [matterDevice, replaced(ext.basicConstraints({ ca: true }))],
  ],
};
