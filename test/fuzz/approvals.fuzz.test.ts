/** Requests and decisions of operators: whatever comes is read whole, or refused with its offset. */
import assert from 'node:assert/strict';
import { nodeCrypto } from '../../src/drivers/keys/software/nodeCrypto.ts';
import { encodeParameters, readParameters } from '../../src/trust/approvals/acts.ts';
import {
  encodeDecision,
  encodeRequest,
  readDecision,
  readRequest,
  readSigned,
} from '../../src/trust/approvals/documents.ts';
import { prepareSigned } from '../../src/wire/line/signed.ts';
import { fuzz } from '../support/fuzz.ts';

const parameters = encodeParameters({
  order: 'reel-7',
  quantity: 5,
  withDevices: true,
  serverIdentity: Uint8Array.of(1, 2, 3),
  batches: [{ batch: 'a', quantity: 5 }],
});
const installation = new Uint8Array(16).fill(7);
const request = encodeRequest({
  installation,
  act: 'order.create',
  parameters,
  requester: 'ada',
  requestedMs: 1_795_000_000_000,
  expiresMs: 1_795_600_000_000,
  nonce: new Uint8Array(16),
});
const decision = encodeDecision({
  installation,
  request: new Uint8Array(32),
  decision: 'approved',
  by: 'bob',
  atMs: 1_795_000_000_000,
});

/** What is read is what was written: there is one encoding of each document. */
fuzz({
  name: 'approval-request',
  read: (input) => assert.deepEqual(encodeRequest(readRequest(input)), input),
  valid: [request],
});

fuzz({
  name: 'approval-decision',
  read: (input) => assert.deepEqual(encodeDecision(readDecision(input)), input),
  valid: [decision],
});

fuzz({
  name: 'approval-parameters',
  read: (input) => assert.deepEqual(encodeParameters(readParameters(input)), input),
  valid: [parameters, encodeParameters({})],
});

fuzz({
  name: 'approval-signed',
  read: (input) => readSigned(nodeCrypto, input, readRequest),
  valid: [prepareSigned(request).finish(new Uint8Array(64))],
});
