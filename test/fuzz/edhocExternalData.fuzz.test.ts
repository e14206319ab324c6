/** What EAD items hold: attestation and vouchers. */
import assert from 'node:assert/strict';
import { fromHex } from '../../src/wire/bytes/hex.ts';
import {
  encodeClaims,
  encodeProposal,
  encodeRequest,
  parseClaims,
  parseEvidence,
  parseProposal,
  parseRequest,
} from '../../src/wire/edhoc/attestation.ts';
import { encodeStatus, parseStatus } from '../../src/wire/edhoc/serverStatus.ts';
import {
  encodeVoucherRequest,
  parseAccessDenied,
  parseVoucherInfo,
  parseVoucherRequest,
  parseVoucherResponse,
} from '../../src/wire/edhoc/voucher.ts';
import { fuzz } from '../support/fuzz.ts';

const claims = encodeClaims({
  nonce: new Uint8Array(8),
  ueid: new Uint8Array(17),
  measurements: [{ contentFormat: 258, content: fromHex('a10063616263') }],
});

fuzz({
  name: 'edhoc-attestation',
  valid: [fromHex('183c183d190102'), fromHex('19010248a29f62a4c6cdaae5')],
  read(input) {
    if (input[0] === 0x19) assert.deepEqual(encodeRequest(parseRequest(input)), input);
    else assert.deepEqual(encodeProposal(parseProposal(input)), input);
  },
});

fuzz({ name: 'edhoc-claims', valid: [claims], read: parseClaims });

fuzz({
  name: 'edhoc-evidence',
  valid: [fromHex('d28443a10126a0f640'), fromHex('8443a10126a043a1010240')],
  read: parseEvidence,
});

fuzz({
  name: 'edhoc-voucher',
  valid: [fromHex('69772e6578616d706c6543070707'), fromHex('8241aa41bb'), fromHex('18350141aa')],
  read(input) {
    const points = { voucherInfoLabel: 1, voucherLabel: 2, accessDeniedCode: 53 };
    parseAccessDenied(points, input);
    if (input[0] === 0x82) parseVoucherResponse(input);
    else parseVoucherInfo(input);
  },
});

fuzz({
  name: 'edhoc-voucher-request',
  valid: [fromHex('85024307070742010144a104412bf5')],
  read(input) {
    assert.deepEqual(encodeVoucherRequest(parseVoucherRequest(input)), input);
  },
});

fuzz({
  name: 'edhoc-server-status',
  valid: [
    encodeStatus({ timeS: 1_795_000_000, floor: 7, signature: new Uint8Array(64).fill(0xa5) }),
    encodeStatus({ timeS: 0, floor: 0xffff_ffff, signature: new Uint8Array(64) }),
  ],
  read(input) {
    assert.deepEqual(encodeStatus(parseStatus(input)), input);
  },
});
