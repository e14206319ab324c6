/**
 * An authority for tests of the station alone: the same messages and rules as the real one, its ledger in
 * memory, and every answer open to be spoiled. It is also what the checker asks afterwards.
 */
import { diffieHellman, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { nodeCrypto } from '../../../src/drivers/keys/software/nodeCrypto.ts';
import { SoftwareVerifier } from '../../../src/drivers/keys/software/verifier.ts';
import type { Signer } from '../../../src/trust/ports/keys.ts';
import type { LineStep, LineTransport } from '../../../src/trust/ports/lineTransport.ts';
import { equal } from '../../../src/wire/bytes/bytes.ts';
import { toHex } from '../../../src/wire/bytes/hex.ts';
import type { PublicKey } from '../../../src/wire/crypto/crypto.ts';
import { fixedSignature } from '../../../src/wire/der/ecdsa.ts';
import { agreeProof } from '../../../src/wire/line/agreeProof.ts';
import {
  encodeEndorseAnswer,
  readEndorseRequest,
  type UnitAnswer,
  type UnitRequest,
} from '../../../src/wire/line/endorsement.ts';
import {
  encodeOpenAnswer,
  type OpenAnswer,
  readOpenRequest,
} from '../../../src/wire/line/opening.ts';
import {
  encodeCloseAnswer,
  encodeRefusal,
  encodeReportAnswer,
  type LineRefusal,
  readCloseRequest,
  readReport,
  type TicketCounts,
  type UnitOutcome,
} from '../../../src/wire/line/reporting.ts';
import {
  bindingTo,
  isSignedBy,
  parseSigned,
  prepareSigned,
} from '../../../src/wire/line/signed.ts';
import { encodeTicket, readTicket, type Ticket } from '../../../src/wire/line/ticket.ts';
import { parseCertificationRequest } from '../../../src/wire/x509/certificationRequest.ts';
import { p256Point } from '../../../src/wire/x509/spki.ts';
import { idevidFields, type TestKey, testKey, testPki } from '../pki.ts';
import { keyOf } from '../../contract/elementContract.ts';

export interface LedgerEntry {
  readonly uid: Uint8Array;
  readonly signKey: Uint8Array;
  readonly agreeKey: Uint8Array | undefined;
  readonly deviceId: string;
  readonly eui64: Uint8Array;
  readonly certificate: Uint8Array;
  outcome: 'issued' | UnitOutcome;
}

export interface TestAuthorityOptions {
  readonly count: number;
  readonly ticket?: Partial<Ticket>;
}

const { factory } = testPki();

export const eui64First: Uint8Array = Uint8Array.of(0x02, 0, 0, 0xff, 0xfe, 0, 0, 0);

/** Key of the station that the tickets are made for. */
export function testStationSigner(key: TestKey = testKey()): Signer {
  return {
    algorithm: 'ecdsa-with-SHA256',
    publicKeySpki: key.spki,
    sign: async (data) => key.sign(data),
  };
}

export class TestAuthority implements LineTransport {
  readonly ledger: Map<string, LedgerEntry> = new Map();
  readonly ticket: Ticket;
  readonly ticketBytes: Uint8Array;
  readonly orderKey: PublicKey;
  readonly steps: LineStep[] = [];
  /** Units of each endorse request, to see how they were gathered. */
  readonly batches: number[] = [];
  closed: TicketCounts | undefined;
  /** Spoils what the authority says, after its ledger has it. */
  spoilOpening: (answer: OpenAnswer) => OpenAnswer = (answer) => answer;
  spoilUnit: (answer: UnitAnswer) => UnitAnswer = (answer) => answer;
  spoilMessage: (message: Uint8Array, step: LineStep) => Uint8Array = (message) => message;
  /** Refuses whole requests. */
  refuseAll: LineRefusal | undefined;
  readonly #orderKey = testKey();
  readonly #agree = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  readonly #verifier = new SoftwareVerifier();

  constructor(station: Signer, { count, ticket }: TestAuthorityOptions) {
    this.ticket = {
      ticketId: new Uint8Array(16).fill(0x77),
      order: 'order-1',
      batch: 'reel-1',
      product: 'sensor',
      profile: 'idevid',
      family: 'software',
      leastProof: 'line-anchored',
      stationKeySpki: station.publicKeySpki,
      count,
      notBeforeS: 0,
      notAfterS: 4_000_000_000,
      ...ticket,
    };
    const unsigned = prepareSigned(encodeTicket(this.ticket));
    this.ticketBytes = unsigned.finish(this.#signature(unsigned.toBeSigned));
    const orderKey = nodeCrypto.importPublicKey('P-256', p256Point(this.#orderKey.spki));
    if (orderKey === undefined) throw new TypeError('no order key');
    this.orderKey = orderKey;
  }

  async post(step: LineStep, message: Uint8Array): Promise<Uint8Array> {
    this.steps.push(step);
    const request = parseSigned(message);
    const stationKey = nodeCrypto.importPublicKey('P-256', p256Point(this.ticket.stationKeySpki));
    const isHis = stationKey !== undefined && isSignedBy(nodeCrypto, stationKey, request);
    const payload = isHis
      ? this.#answer(step, request.payload)
      : encodeRefusal({
          code: 'other-station',
          reason: 'The request is not signed by the station.',
        });
    const unsigned = prepareSigned(payload, bindingTo(nodeCrypto, message));
    return this.spoilMessage(unsigned.finish(this.#signature(unsigned.toBeSigned)), step);
  }

  /** DER of SubjectPublicKeyInfo, as a station pins it. */
  get orderKeySpki(): Uint8Array {
    return this.#orderKey.spki;
  }

  get counts(): TicketCounts {
    const entries = [...this.ledger.values()];
    const count = (...outcomes: ReadonlyArray<LedgerEntry['outcome']>): number =>
      entries.filter(({ outcome }) => outcomes.includes(outcome)).length;
    return {
      issued: entries.length,
      released: count('locked'),
      scrapped: count('scrapped'),
      returned: count('returned'),
    };
  }

  #answer(step: LineStep, payload: Uint8Array): Uint8Array {
    if (this.refuseAll !== undefined) return encodeRefusal(this.refuseAll);
    switch (step) {
      case 'open':
        this.#checkTicket(readOpenRequest(payload).ticket);
        return encodeOpenAnswer(this.spoilOpening(this.#opening()));
      case 'endorse': {
        const request = readEndorseRequest(payload);
        this.#checkTicket(request.ticket);
        this.batches.push(request.units.length);
        const units = request.units.map((unit) => this.spoilUnit(this.#endorse(unit)));
        return encodeEndorseAnswer({ units, chain: factory.chain });
      }
      case 'report': {
        const { units } = readReport(payload);
        return encodeReportAnswer({
          refusals: units.map(({ uid, outcome }) => this.#report(uid, outcome)),
        });
      }
      case 'close':
        return this.#close(readCloseRequest(payload).counts);
    }
  }

  #opening(): OpenAnswer {
    return {
      ticketId: this.ticket.ticketId,
      agreeKey: pointOf(this.#agree.publicKey),
      anchors: [factory.certificate.der],
      serverIdentity: Uint8Array.of(0xa1, 1, 2),
      eui64Range: { first: eui64First, count: this.ticket.count },
      endorsed: this.ledger.size,
      nowS: 1_800_000_000,
    };
  }

  #endorse(unit: UnitRequest): UnitAnswer {
    const { uid } = unit;
    const csr = parseCertificationRequest(unit.csr);
    const { spki } = csr.publicKey;
    const proven =
      this.#verifier.verify(spki, csr.signatureAlgorithm.oid, csr.info, csr.signature) &&
      this.#agreeProven(unit);
    if (!proven) return { uid, code: 'proof-wrong', reason: 'A proof does not hold.' };
    const signKey = p256Point(spki).slice();
    const known = this.ledger.get(toHex(uid));
    if (known !== undefined) {
      return equal(known.signKey, signKey)
        ? known
        : { uid, code: 'other-key', reason: 'That element has an identity for another key.' };
    }
    if (this.ledger.size >= this.ticket.count) {
      return { uid, code: 'quota-exhausted', reason: 'All identities are taken.' };
    }
    const entry = this.#issue(unit, spki, signKey);
    this.ledger.set(toHex(uid), entry);
    return entry;
  }

  #issue(unit: UnitRequest, spki: Uint8Array, signKey: Uint8Array): LedgerEntry {
    const number = this.ledger.size;
    const deviceId = `0000000000000000${number}`.slice(-16);
    const eui64 = eui64First.slice();
    new DataView(eui64.buffer).setUint32(4, 0xfe00_0000 + number);
    const key = { ...this.#orderKey, spki };
    const { certificate } = factory.issue(idevidFields(deviceId), { key });
    return {
      uid: unit.uid,
      signKey,
      agreeKey: unit.agree?.publicKey,
      deviceId,
      eui64,
      certificate: certificate.der,
      outcome: 'issued',
    };
  }

  #agreeProven({ agree, csr }: UnitRequest): boolean {
    if (agree === undefined) return true;
    const authorityKey = pointOf(this.#agree.publicKey);
    const { privateKey } = this.#agree;
    const sharedSecret = new Uint8Array(
      diffieHellman({ privateKey, publicKey: keyOf(agree.publicKey) }),
    );
    const { ticketId } = this.ticket;
    const input = { sharedSecret, ticketId, authorityKey, agreeKey: agree.publicKey, csr };
    return equal(agreeProof(nodeCrypto, input), agree.proof);
  }

  #report(uid: Uint8Array, outcome: UnitOutcome): LineRefusal | undefined {
    const entry = this.ledger.get(toHex(uid));
    if (entry === undefined) return { code: 'unknown-unit', reason: 'No identity of that uid.' };
    if (entry.outcome !== 'issued' && entry.outcome !== outcome) {
      return { code: 'outcome-known', reason: `That unit is ${entry.outcome}.` };
    }
    entry.outcome = outcome;
    return undefined;
  }

  #close(counts: TicketCounts): Uint8Array {
    if (JSON.stringify(counts) !== JSON.stringify(this.counts)) {
      return encodeRefusal({
        code: 'counts-differ',
        reason: `Here: ${JSON.stringify(this.counts)}`,
      });
    }
    this.closed = counts;
    return encodeCloseAnswer({ counts, void: this.ticket.count - counts.issued });
  }

  #checkTicket(ticket: Uint8Array): void {
    readTicket(parseSigned(ticket).payload);
  }

  #signature(data: Uint8Array): Uint8Array {
    return fixedSignature(this.#orderKey.sign(data), 32);
  }
}

function pointOf(key: KeyObject): Uint8Array {
  return p256Point(new Uint8Array(key.export({ format: 'der', type: 'spki' }))).slice();
}
