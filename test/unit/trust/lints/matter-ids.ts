/** A Matter certificate names the vendor and the product of its profile. */
import {
  type Fixtures,
  idevid,
  matterAuthority,
  matterDevice,
  matterName,
} from '../../../support/issuing/certificateParts.ts';

export const fixtures: Fixtures = {
  good: [[matterDevice], [matterAuthority], [idevid]],
  bad: [
    [matterDevice, () => ({ subject: matterName('FFF2', '8000') })],
    [matterDevice, () => ({ subject: matterName('FFF1', '8001') })],
  ],
};
