/** The file in which a ticket travels to its station: the signed CBOR itself, or its base64 as text. */
import { parseBase64 } from '../../wire/bytes/base64.ts';
import { MalformedError } from '../../wire/bytes/malformed.ts';
import { fromUtf8 } from '../../wire/bytes/utf8.ts';
import { lineLimits } from '../../wire/line/fields.ts';

/** Longest file that is read: base64 of the longest ticket, with line breaks. */
const maximumFileBytes = 2 * lineLimits.ticket;

/** Throws a `MalformedError`. Who signed the ticket is found out later. */
export function parseTicketFile(file: Uint8Array): Uint8Array {
  if (file.length > maximumFileBytes) fail(maximumFileBytes, 'file too long for a ticket');
  // COSE_Sign1 begins as an array of four or with tag 18; neither is a character of base64.
  const ticket = file[0] === 0x84 || file[0] === 0xd2 ? file : decoded(file);
  return ticket.length > 0 && ticket.length <= lineLimits.ticket
    ? ticket.slice()
    : fail(0, 'no ticket in this file');
}

function decoded(file: Uint8Array): Uint8Array {
  const text = fromUtf8(file)?.replaceAll(/[ \t\r\n]/g, '');
  const ticket = text === undefined ? undefined : parseBase64(text);
  return ticket ?? fail(0, 'neither CBOR nor base64');
}

function fail(offset: number, problem: string): never {
  throw new MalformedError('ticket file', offset, problem);
}
