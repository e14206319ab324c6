/** Roots alone commit to the key of the next one, not critically (RFC 8649 §3). */
import { hashOfRootKey } from '../../../../src/wire/x509/hashOfRootKey.ts';
import {
  type Fixtures,
  authority,
  critical,
  ldevid,
  replaced,
  rootItself,
} from '../../../support/issuing/certificateParts.ts';

const commitment = hashOfRootKey(new Uint8Array(32).fill(7));

export const fixtures: Fixtures = {
  good: [[rootItself], [rootItself, replaced(commitment)], [authority]],
  bad: [
    [rootItself, replaced(critical(commitment, true))],
    [rootItself, replaced(hashOfRootKey(new Uint8Array(20)))],
    [authority, replaced(commitment)],
    [ldevid, replaced(commitment)],
  ],
};
