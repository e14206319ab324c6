/** The generation of session servers. */
import * as der from '../../../../src/wire/der/writer.ts';
import {
  critical,
  type Fixtures,
  generation,
  replaced,
  sessionServer,
  web,
  without,
} from '../../../support/issuing/certificateParts.ts';

const keyless = (present: number, floor: number): Uint8Array =>
  der.sequence(der.integer(present), der.integer(floor));

export const fixtures: Fixtures = {
  good: [[sessionServer], [web]],
  bad: [
    [sessionServer, without(generation.oid)],
    [sessionServer, replaced(critical(generation, false))],
    [sessionServer, replaced({ ...generation, value: keyless(3, 3) })],
    [sessionServer, replaced({ ...generation, value: keyless(2, 3) })],
  ],
};
