/**
 * The CoAP door (RFC 7252 over UDP): discovery, EDHOC, and whatever devices ask for under OSCORE. Without
 * OSCORE nothing is told but what everybody may know, and nobody gets much more bytes than he sent before
 * he has shown that his address is his.
 */
import { empty } from '../../wire/bytes/bytes.ts';
import { utf8 } from '../../wire/bytes/utf8.ts';
import { blockSizeWithin, smallestBlockBytes } from '../../wire/coap/block.ts';
import { BlockwiseServer, type BlockwiseTicket } from '../../wire/coap/blockwiseServer.ts';
import { methods, responses } from '../../wire/coap/codes.ts';
import { contentFormats } from '../../wire/coap/contentFormats.ts';
import type { CoapEvent, EndpointLimits } from '../../wire/coap/endpoint.ts';
import { type CoapContent, type CoapMessage, encodeMessage } from '../../wire/coap/message.ts';
import { isSuppressed } from '../../wire/coap/noResponse.ts';
import {
  findOptions,
  findUint,
  hasOption,
  optionNumbers,
  pathOf,
  uint,
} from '../../wire/coap/options.ts';
import { recognize } from '../../wire/coap/recognize.ts';
import type { TransmissionParameters } from '../../wire/coap/transmission.ts';
import type { Crypto } from '../../wire/crypto/crypto.ts';
import { coapTransfer } from '../../wire/edhoc/carriage.ts';
import { isCombined } from '../../wire/oscore/edhocRequest.ts';
import { AddressValidation, amplification, type ValidationLimits } from './addressValidation.ts';
import { CoapSocket, type CoapTime, systemCoapTime } from './coapSocket.ts';
import { filterLinks, linkFormat, type WebLink } from './linkFormat.ts';
import { SessionDoor, type SessionFrames } from './sessionDoor.ts';

export interface CoapDoorOptions {
  readonly host: string;
  /** 0 lets the system choose; 5683 is CoAP's own. */
  readonly port: number;
  readonly crypto: Crypto;
  readonly sessions: SessionFrames;
  /** Longest message_2: an answer that is long needs a shown address. */
  readonly longestMessage2Bytes: number;
  /** What `/.well-known/core` tells. */
  readonly links: readonly WebLink[];
  readonly onRefusal: (code: string) => void;
  /** A defect: the exchange is answered with 5.00. */
  readonly onDefect: (error: unknown) => void;
  readonly time?: CoapTime;
  readonly transmission?: Partial<TransmissionParameters>;
  readonly limits?: Partial<EndpointLimits & ValidationLimits>;
}

export interface CoapDoor {
  readonly port: number;
  close(): Promise<void>;
}

/** Rejects with an `EnvironmentError` when the port is taken. */
export async function openCoapDoor(options: CoapDoorOptions): Promise<CoapDoor> {
  const door = new Door(options);
  const socket = await CoapSocket.open({
    host: options.host,
    port: options.port,
    time: options.time ?? systemCoapTime,
    endpoint: {
      randomBytes: (lengthBytes) => options.crypto.random(lengthBytes),
      ...(options.transmission === undefined ? {} : { transmission: options.transmission }),
      ...(options.limits === undefined ? {} : { limits: options.limits }),
    },
    onEvent: (event) => door.onEvent(socket, event),
    onOversized: () => options.onRefusal('oversized'),
  });
  return {
    port: socket.port,
    close: async () => {
      await socket.close();
      await door.idle();
    },
  };
}

/** Options that requests without OSCORE may carry; Uri-Host and Uri-Port name this server whatever they say. */
const understood: ReadonlySet<number> = new Set([
  optionNumbers.uriHost,
  optionNumbers.uriPort,
  optionNumbers.uriPath,
  optionNumbers.uriQuery,
  optionNumbers.contentFormat,
  optionNumbers.accept,
  optionNumbers.eTag,
  optionNumbers.block1,
  optionNumbers.block2,
  optionNumbers.size1,
  optionNumbers.size2,
  optionNumbers.echo,
  optionNumbers.noResponse,
  optionNumbers.requestTag,
  optionNumbers.oscore,
  optionNumbers.edhoc,
]);

const edhocPath = `/${coapTransfer.wellKnownPath.join('/')}`;
const corePath = '/.well-known/core';

/** A message_1 with a chain in its EAD, or a protected request in outer blocks. */
const maximumBodyBytes = 4_096;
const maximumTransfers = 256;
const transferLifetimeMs = 60_000;

class Door {
  readonly #options: CoapDoorOptions;
  readonly #time: CoapTime;
  readonly #sessions: SessionDoor;
  readonly #validation: AddressValidation;
  readonly #blockwise = new BlockwiseServer({
    maximumBodyBytes,
    maximumTransfers,
    lifetimeMs: transferLifetimeMs,
  });
  readonly #underWay = new Set<Promise<void>>();

  constructor(options: CoapDoorOptions) {
    this.#options = options;
    this.#time = options.time ?? systemCoapTime;
    this.#sessions = new SessionDoor(options.sessions);
    this.#validation = new AddressValidation(options.crypto, options.limits);
  }

  /** Resolves when nothing is under way. */
  async idle(): Promise<void> {
    while (this.#underWay.size > 0) await Promise.all(this.#underWay);
  }

  onEvent(socket: CoapSocket, event: CoapEvent): void {
    if (event.kind === 'malformed') this.#options.onRefusal('malformed');
    if (event.kind !== 'request') return;
    const { peer, message, exchange } = event;
    const work = this.#answerSafely(peer, message).then((response) =>
      response === undefined ? socket.dismiss(exchange) : socket.respond(exchange, response),
    );
    this.#underWay.add(work);
    void work.finally(() => this.#underWay.delete(work));
  }

  async #answerSafely(peer: string, message: CoapMessage): Promise<CoapContent | undefined> {
    try {
      return await this.#answer(peer, message);
    } catch (error) {
      this.#options.onDefect(error);
      return plain(responses.internalServerError);
    }
  }

  async #answer(peer: string, message: CoapMessage): Promise<CoapContent | undefined> {
    const { options, badOption } = recognize(message.options, understood);
    if (badOption !== undefined) return this.#refused('bad-option', badOptionCode(badOption));
    const nowMs = this.#time.nowMs();
    const shown = this.#validation.isShown(peer, message, nowMs);
    const outcome = this.#blockwise.onRequest(peer, { ...message, options }, nowMs);
    if (outcome.kind === 'response') return outcome.response;
    const { request, ticket } = outcome;
    const whole: CoapMessage = { ...message, ...request };
    const response = await this.#answerWhole(peer, whole, shown);
    if (response === undefined) return undefined;
    const room = shown ? undefined : amplification * encodeMessage(message).length;
    return this.#blockwise.respond(withinRoom(ticket, response, room), response, nowMs);
  }

  async #answerWhole(
    peer: string,
    request: CoapMessage,
    shown: boolean,
  ): Promise<CoapContent | undefined> {
    if (hasOption(request.options, optionNumbers.oscore)) {
      // RFC 9668 §3.3.1: the option decides, whatever the path is.
      return isCombined(request)
        ? this.#sessions.onCombined(request)
        : this.#sessions.onProtected(request);
    }
    if (isCombined(request)) return this.#refused('malformed', responses.badRequest);
    const path = pathOf(request.options);
    const response =
      path === corePath
        ? this.#discover(request)
        : path === edhocPath
          ? await this.#handshake(peer, request, shown)
          : this.#refused('no-such-path', responses.notFound);
    return isSuppressed(request.options, response.code) ? undefined : response;
  }

  #discover(request: CoapMessage): CoapContent {
    if (request.code !== methods.get) {
      return this.#refused('wrong-method', responses.methodNotAllowed);
    }
    const format = contentFormats.linkFormat;
    const accept = findUint(request.options, optionNumbers.accept) ?? format;
    if (accept !== format) return this.#refused('not-acceptable', responses.notAcceptable);
    const queries = findOptions(request.options, optionNumbers.uriQuery);
    const text = linkFormat(filterLinks(this.#options.links, queries));
    const options = [uint(optionNumbers.contentFormat, format)];
    return { code: responses.content, options, payload: utf8(text) };
  }

  async #handshake(peer: string, request: CoapMessage, shown: boolean): Promise<CoapContent> {
    if (request.code !== methods.post) {
      return this.#refused('wrong-method', responses.methodNotAllowed);
    }
    const format = coapTransfer.prependedFormat;
    // RFC 9528 Appendix A.2: where it is there it says that an identifier is prepended.
    if ((findUint(request.options, optionNumbers.contentFormat) ?? format) !== format) {
      return this.#refused('wrong-format', responses.unsupportedContentFormat);
    }
    const { payload } = request;
    const isTrigger = payload.length === 0;
    // An empty POST costs nothing to send: its address is always shown first.
    const isWelcome = payload[0] === trueByte ? this.#mayBegin(payload) : !isTrigger;
    if (!shown && !isWelcome) {
      this.#options.onRefusal('address-not-shown');
      return this.#validation.challenge(peer, this.#time.nowMs());
    }
    return isTrigger ? this.#sessions.onTrigger(peer) : this.#sessions.onEdhoc(peer, payload);
  }

  #mayBegin(message1: Uint8Array): boolean {
    const room = amplification * message1.length;
    return (
      this.#options.longestMessage2Bytes <= room && this.#validation.mayBegin(this.#time.nowMs())
    );
  }

  #refused(counted: string, code: number): CoapContent {
    this.#options.onRefusal(counted);
    return plain(code);
  }
}

/** `true`, in front of message_1. */
const trueByte = 0xf5;

/** RFC 7252 §5.10.2: who asks for a proxy is told that there is none. */
function badOptionCode(option: number): number {
  const forProxies = option === optionNumbers.proxyUri || option === optionNumbers.proxyScheme;
  return forProxies ? responses.proxyingNotSupported : responses.badOption;
}

/** What surrounds the payload of a piggybacked response with blocks: header, token, options, marker. */
const aroundPayloadBytes = 32;

/** RFC 7252 §11.3: a long representation goes in slices to whom nobody knows. */
function withinRoom(
  ticket: BlockwiseTicket,
  response: CoapContent,
  roomBytes: number | undefined,
): BlockwiseTicket {
  const isFirst = ticket.block2 === undefined || ticket.block2.number === 0;
  if (roomBytes === undefined || !ticket.isSafe || !isFirst) return ticket;
  if (response.payload.length + aroundPayloadBytes <= roomBytes) return ticket;
  const room = Math.max(smallestBlockBytes, roomBytes - aroundPayloadBytes);
  const sizeBytes = Math.min(ticket.block2?.sizeBytes ?? room, blockSizeWithin(room));
  return { ...ticket, block2: { number: 0, more: false, sizeBytes } };
}

function plain(code: number): CoapContent {
  return { code, options: [], payload: empty };
}
