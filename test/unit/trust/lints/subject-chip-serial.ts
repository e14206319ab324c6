/** A chip is called by its serial number, as a reader of its compressed certificate writes it. */
import { encodeName } from '../../../../src/wire/x509/names.ts';
import {
  chip,
  type Fixture,
  type Fixtures,
  idevid,
  organization,
} from '../../../support/issuing/certificateParts.ts';

const called = (serial: string): Fixture => [
  chip,
  () => ({ subject: encodeName(['organizationName', organization], ['serialNumber', serial]) }),
];

export const fixtures: Fixtures = {
  good: [[chip], [idevid]],
  bad: [called('0123'), called('0123020304050607ee'), called('')],
};
