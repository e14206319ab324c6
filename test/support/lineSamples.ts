/** One plausible value of every message between station and authority, for tests and fuzzing. */
import type { EndorseAnswer, EndorseRequest } from '../../src/wire/line/endorsement.ts';
import type { OpenAnswer, OpenRequest } from '../../src/wire/line/opening.ts';
import type {
  CloseAnswer,
  CloseRequest,
  LineRefusal,
  Report,
  ReportAnswer,
} from '../../src/wire/line/reporting.ts';
import type { Ticket } from '../../src/wire/line/ticket.ts';

const run = (length: number, first = 0): Uint8Array =>
  Uint8Array.from({ length }, (_, index) => (first + index) & 255);
const point = Uint8Array.of(4, ...run(64, 7));

const ticket: Ticket = {
  ticketId: run(16),
  order: 'order-01',
  batch: 'lot-007',
  product: 'sensor-l1',
  profile: 'idevid',
  family: 'software',
  leastProof: 'line-anchored',
  stationKeySpki: run(91, 0x30),
  count: 1000,
  notBeforeS: 1_761_665_024,
  notAfterS: 1_761_743_232,
};

const openRequest: OpenRequest = { ticket: run(200), nonce: run(16, 9) };

const openAnswer: OpenAnswer = {
  ticketId: ticket.ticketId,
  agreeKey: point,
  anchors: [run(300), run(310)],
  serverIdentity: run(90),
  eui64Range: { first: run(8, 0xa0), count: 4096 },
  endorsed: 17,
  nowS: 1_761_700_000,
};

const endorseRequest: EndorseRequest = {
  ticket: run(200),
  units: [
    {
      uid: run(9),
      model: 'SW-1',
      firmware: '1.0 (test)',
      csr: run(250),
      agree: { publicKey: point, proof: run(32, 3) },
      proofLevel: 'line-anchored',
      evidence: undefined,
    },
    {
      uid: run(9, 1),
      model: 'SW-1',
      firmware: '',
      csr: run(251),
      agree: undefined,
      proofLevel: 'vendor-anchored',
      evidence: run(64),
    },
  ],
};

const endorseAnswer: EndorseAnswer = {
  units: [
    { uid: run(9), deviceId: '0123456789abcdef', eui64: run(8, 0xa0), certificate: run(400) },
    { uid: run(9, 1), deviceId: 'zyxwvtsrqpnmkjhg', eui64: undefined, certificate: run(401) },
    { uid: run(9, 2), code: 'quota-exhausted', reason: 'All 1000 identities are taken.' },
  ],
  chain: [run(500)],
};

const report: Report = {
  ticket: run(200),
  units: [
    { uid: run(9), outcome: 'verified', reason: '' },
    { uid: run(9), outcome: 'locked', reason: '' },
    { uid: run(9, 1), outcome: 'scrapped', reason: 'read back differs' },
    { uid: run(9, 2), outcome: 'returned', reason: 'ühandler stopped' },
  ],
};

const reportAnswer: ReportAnswer = {
  refusals: [undefined, { code: 'unknown-unit', reason: 'Never endorsed here.' }],
};

const closeRequest: CloseRequest = {
  ticket: run(200),
  counts: { issued: 1000, released: 990, scrapped: 7, returned: 3 },
};

const closeAnswer: CloseAnswer = { counts: closeRequest.counts, void: 0 };

const refusal: LineRefusal = { code: 'ticket-closed', reason: 'This ticket was closed.' };

export interface LineSamples {
  readonly ticket: Ticket;
  readonly openRequest: OpenRequest;
  readonly openAnswer: OpenAnswer;
  readonly endorseRequest: EndorseRequest;
  readonly endorseAnswer: EndorseAnswer;
  readonly report: Report;
  readonly reportAnswer: ReportAnswer;
  readonly closeRequest: CloseRequest;
  readonly closeAnswer: CloseAnswer;
  readonly refusal: LineRefusal;
}

export const lineSamples: LineSamples = {
  ticket,
  openRequest,
  openAnswer,
  endorseRequest,
  endorseAnswer,
  report,
  reportAnswer,
  closeRequest,
  closeAnswer,
  refusal,
};
