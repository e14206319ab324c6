/** No extension that no rule looks at. */
import * as der from '../../../../src/wire/der/writer.ts';
import {
  type Fixtures,
  authority,
  idevid,
  listed,
  responder,
} from '../../../support/issuing/certificateParts.ts';

export const fixtures: Fixtures = {
  good: [[listed], [responder], [authority]],
  bad: [
    [
      idevid,
      (p) => ({
        extensions: [...p.extensions, { oid: '1.2.3', critical: false, value: der.nullElement }],
      }),
    ],
  ],
};
