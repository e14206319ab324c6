/** Messages between station and authority: only typed errors come out, and what is read writes the same bytes. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { fromHex } from '../../src/wire/bytes/hex.ts';
import { MalformedError, UnsupportedError } from '../../src/wire/bytes/malformed.ts';
import * as endorsement from '../../src/wire/line/endorsement.ts';
import { messageTypeOf } from '../../src/wire/line/fields.ts';
import * as opening from '../../src/wire/line/opening.ts';
import * as reporting from '../../src/wire/line/reporting.ts';
import { parseSigned } from '../../src/wire/line/signed.ts';
import { encodeTicket, readTicket } from '../../src/wire/line/ticket.ts';
import { lineSamples as samples } from '../support/lineSamples.ts';
import { isNightly } from '../support/nightly.ts';

const runs = isNightly ? 500_000 : 3_000;

/** By message type; each rewrites what it read. */
const readers = {
  ticket: (bytes: Uint8Array) => encodeTicket(readTicket(bytes)),
  openRequest: (bytes: Uint8Array) => opening.encodeOpenRequest(opening.readOpenRequest(bytes)),
  openAnswer: (bytes: Uint8Array) => opening.encodeOpenAnswer(opening.readOpenAnswer(bytes)),
  endorseRequest: (bytes: Uint8Array) =>
    endorsement.encodeEndorseRequest(endorsement.readEndorseRequest(bytes)),
  endorseAnswer: (bytes: Uint8Array) =>
    endorsement.encodeEndorseAnswer(endorsement.readEndorseAnswer(bytes)),
  report: (bytes: Uint8Array) => reporting.encodeReport(reporting.readReport(bytes)),
  reportAnswer: (bytes: Uint8Array) =>
    reporting.encodeReportAnswer(reporting.readReportAnswer(bytes)),
  closeRequest: (bytes: Uint8Array) =>
    reporting.encodeCloseRequest(reporting.readCloseRequest(bytes)),
  closeAnswer: (bytes: Uint8Array) => reporting.encodeCloseAnswer(reporting.readCloseAnswer(bytes)),
  refusal: (bytes: Uint8Array) => reporting.encodeRefusal(reporting.readRefusal(bytes)),
} as const;

const valid = [
  encodeTicket(samples.ticket),
  opening.encodeOpenRequest(samples.openRequest),
  opening.encodeOpenAnswer(samples.openAnswer),
  endorsement.encodeEndorseRequest(samples.endorseRequest),
  endorsement.encodeEndorseAnswer(samples.endorseAnswer),
  reporting.encodeReport(samples.report),
  reporting.encodeReportAnswer(samples.reportAnswer),
  reporting.encodeCloseRequest(samples.closeRequest),
  reporting.encodeCloseAnswer(samples.closeAnswer),
  reporting.encodeRefusal(samples.refusal),
];

const corpus = readFileSync(new URL('corpus/line/inputs.hex', import.meta.url), 'utf8')
  .split('\n')
  .filter((line) => line !== '' && !line.startsWith('#'))
  .map((line) => fromHex(line));

function check(bytes: Uint8Array): void {
  tolerate(() => assert.deepEqual(readers[messageTypeOf(bytes)](bytes), bytes));
  tolerate(() => parseSigned(bytes));
}

function tolerate(read: () => unknown): void {
  try {
    read();
  } catch (error) {
    if (!(error instanceof MalformedError || error instanceof UnsupportedError)) throw error;
  }
}

test('line: saved corpus', () => {
  for (const bytes of corpus) check(bytes);
});

test('line: random bytes and mutations', () => {
  const random = fc.uint8Array({ maxLength: 200 });
  const mutated = fc
    .tuple(
      fc.constantFrom(...valid, ...corpus),
      fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { maxLength: 4 }),
      fc.nat(3),
    )
    .map(([seed, changes, cut]) => {
      const bytes = seed.slice(0, Math.max(0, seed.length - cut));
      for (const [position, byte] of changes) {
        if (bytes.length > 0) bytes[position % bytes.length] = byte;
      }
      return bytes;
    });
  fc.assert(fc.property(fc.oneof(random, mutated), check), { numRuns: runs });
});
