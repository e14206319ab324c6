/** A ticket as the station that was handed it: is it the authority's, and is it for us? */
import { equal } from '../../wire/bytes/bytes.ts';
import { MalformedError, UnsupportedError } from '../../wire/bytes/malformed.ts';
import type { Crypto, PublicKey } from '../../wire/crypto/crypto.ts';
import { isSignedBy, parseSigned } from '../../wire/line/signed.ts';
import { readTicket, type Ticket } from '../../wire/line/ticket.ts';
import { type Refusal, refuse } from '../ports/faults.ts';

export type TicketFault = 'not-a-ticket' | 'other-authority' | 'other-station' | 'other-family';

/** What is refused here the authority would refuse too: a person learns it before the line starts. */
export function readOwnTicket(
  crypto: Crypto,
  ticketBytes: Uint8Array,
  own: {
    readonly orderKey: PublicKey;
    readonly stationKeySpki: Uint8Array;
    readonly family: string;
  },
): Ticket | Refusal<TicketFault> {
  let ticket: Ticket;
  try {
    const message = parseSigned(ticketBytes);
    if (!isSignedBy(crypto, own.orderKey, message)) {
      return refuse(
        'other-authority',
        'The ticket is not signed by the authority of this station.',
      );
    }
    ticket = readTicket(message.payload);
  } catch (error) {
    if (!(error instanceof MalformedError || error instanceof UnsupportedError)) throw error;
    return refuse('not-a-ticket', `This is no ticket: ${error.message}.`);
  }
  if (!equal(ticket.stationKeySpki, own.stationKeySpki)) {
    return refuse('other-station', 'The ticket was made for another station.');
  }
  if (ticket.family !== own.family) {
    const problem = `The ticket is for elements of family ${ticket.family}, not ${own.family}.`;
    return refuse('other-family', problem);
  }
  return ticket;
}
