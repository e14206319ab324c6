/**
 * EST inside OSCORE sessions (draft-ietf-ace-coap-est-oscore; names, formats and codes of RFC 9148), over
 * radio frames and over UDP alike. Decisions are `trust/enrolment`'s; here they become CoAP.
 */
import { csrAttributesOf } from '../../trust/enrolment/csrAttributes.ts';
import type { EnrolmentPolicy, EnrolmentRefusalCode } from '../../trust/enrolment/enrolment.ts';
import type {
  SessionEnrolment,
  SessionEnrolmentOutcome,
} from '../../trust/enrolment/sessionEnrolment.ts';
import { isRefusal } from '../../trust/ports/faults.ts';
import type { SessionPeer } from '../../trust/sessions/liveSession.ts';
import type { SessionResource } from '../../trust/sessions/ports.ts';
import { empty } from '../../wire/bytes/bytes.ts';
import { MalformedError, UnsupportedError } from '../../wire/bytes/malformed.ts';
import { c509FromX509 } from '../../wire/c509/convert.ts';
import { encodeCoseC509 } from '../../wire/c509/coseHeaders.ts';
import type { PointDecompressor } from '../../wire/c509/publicKey.ts';
import { encodeRequestTemplate } from '../../wire/c509/requestTemplate.ts';
import { methods, responses } from '../../wire/coap/codes.ts';
import { contentFormats } from '../../wire/coap/contentFormats.ts';
import type { CoapContent } from '../../wire/coap/message.ts';
import { findUint, optionNumbers, pathOf, uint } from '../../wire/coap/options.ts';
import { encodeCertsOnly } from '../../wire/est/certsOnly.ts';
import {
  type C509ContentFormats,
  type CoapEstOperation,
  parseCoapEstPath,
} from '../../wire/est/coapResources.ts';
import { parseCertificate } from '../../wire/x509/certificate.ts';
import { sameName } from '../../wire/x509/names.ts';

export interface CoapEstOptions {
  readonly enrolment: SessionEnrolment;
  /** By label; `''` is the server's own choice and has to be there (RFC 7030 §3.2.2). */
  readonly services: Pick<ReadonlyMap<string, EnrolmentPolicy>, 'get'>;
  readonly formats: C509ContentFormats;
  readonly decompress: PointDecompressor;
  readonly onRefusal: (code: string) => void;
  readonly onEnrolled: (deviceId: string) => void;
}

/** What is asked of sessions beside telemetry; a path that is no EST path is not found. */
export function estResource(options: CoapEstOptions): SessionResource {
  if (options.services.get('') === undefined)
    throw new TypeError('EST needs a service without a label');
  const est = new CoapEst(options);
  return (peer, request) => est.answer(peer, request);
}

class CoapEst {
  readonly #options: CoapEstOptions;

  constructor(options: CoapEstOptions) {
    this.#options = options;
  }

  async answer(peer: SessionPeer, request: CoapContent): Promise<CoapContent> {
    const target = parseCoapEstPath(pathOf(request.options) ?? '');
    const service = this.#options.services.get(target?.label ?? '');
    if (target === undefined || service === undefined) {
      return this.#no('no-such-path', responses.notFound);
    }
    const { operation } = target;
    // RFC 9148 §4.5: what a server does not offer is 5.01, as in EST.
    if (operation === 'withheld') return this.#no('not-offered', responses.notImplemented);
    if (request.code !== methodOf[operation]) {
      return this.#no('wrong-method', responses.methodNotAllowed);
    }
    try {
      return await this.#perform(operation, peer, request, service);
    } catch (error) {
      const isPeers = error instanceof MalformedError || error instanceof UnsupportedError;
      if (!isPeers) throw error;
      return this.#no('malformed', responses.badRequest);
    }
  }

  #perform(
    operation: CoapEstOperation,
    peer: SessionPeer,
    request: CoapContent,
    service: EnrolmentPolicy,
  ): CoapContent | Promise<CoapContent> {
    const accept = findUint(request.options, optionNumbers.accept);
    switch (operation) {
      case 'cacerts':
        return this.#authorities(service.caCertificates(), accept);
      case 'csrattrs':
        return this.#attributes(service, accept);
      case 'simpleenroll':
      case 'simplereenroll':
        return this.#enrol(operation, peer, request, service, accept);
    }
  }

  #authorities(certificates: readonly Uint8Array[], accept: number | undefined): CoapContent {
    const { formats, decompress } = this.#options;
    if (accept === undefined || accept === contentFormats.pkcs7CertsOnly) {
      const format = contentFormats.pkcs7CertsOnly;
      return content(responses.content, format, encodeCertsOnly(certificates));
    }
    // RFC 9148 §4.3: 287 holds one certificate: the one that issues for devices.
    const issuer = certificates.find((der) => !isSelfIssued(der)) ?? certificates[0] ?? empty;
    if (accept === contentFormats.pkixCertificate)
      return content(responses.content, accept, issuer);
    if (accept === formats.certificate) {
      return content(responses.content, accept, encodeCoseC509([c509FromX509(issuer, decompress)]));
    }
    if (accept === formats.chain) {
      const chain = certificates.map((der) => c509FromX509(der, decompress));
      return content(responses.content, accept, encodeCoseC509(chain));
    }
    return this.#no('not-acceptable', responses.notAcceptable);
  }

  #attributes(service: EnrolmentPolicy, accept: number | undefined): CoapContent {
    const { template } = this.#options.formats;
    if (accept === template) return content(responses.content, template, requestTemplate());
    if (accept !== undefined && accept !== contentFormats.csrAttributes) {
      return this.#no('not-acceptable', responses.notAcceptable);
    }
    return content(responses.content, contentFormats.csrAttributes, csrAttributesOf(service));
  }

  async #enrol(
    operation: 'simpleenroll' | 'simplereenroll',
    peer: SessionPeer,
    request: CoapContent,
    service: EnrolmentPolicy,
    accept: number | undefined,
  ): Promise<CoapContent> {
    const { enrolment, formats } = this.#options;
    const sent = findUint(request.options, optionNumbers.contentFormat);
    const isC509 = sent === formats.request;
    if (!isC509 && sent !== contentFormats.pkcs10) {
      return this.#no('wrong-type', responses.unsupportedContentFormat);
    }
    // Who asks in C509 wants C509; who asks in PKCS#10 and does not say gets 281 (RFC 9148 §4.3).
    const wanted = accept ?? (isC509 ? formats.certificate : contentFormats.pkcs7CertsOnly);
    const known = [
      contentFormats.pkcs7CertsOnly,
      contentFormats.pkixCertificate,
      formats.certificate,
    ];
    if (!known.includes(wanted)) return this.#no('not-acceptable', responses.notAcceptable);
    const outcome =
      operation === 'simpleenroll'
        ? await enrolment.enroll(peer, request.payload, service)
        : await enrolment.reenroll(peer, request.payload, service);
    return this.#outcome(peer, outcome, wanted);
  }

  #outcome(peer: SessionPeer, outcome: SessionEnrolmentOutcome, wanted: number): CoapContent {
    const { formats, decompress, onEnrolled } = this.#options;
    if (isRefusal(outcome)) return this.#no(outcome.refused, codes[outcome.refused]);
    if ('retryAfterS' in outcome) {
      // RFC 9148 §4.7: the client sends the same request again after Max-Age.
      const options = [uint(optionNumbers.maxAge, outcome.retryAfterS)];
      return { code: responses.serviceUnavailable, options, payload: empty };
    }
    onEnrolled(peer.deviceId);
    const { certificate, form } = outcome;
    if (form === 'native') {
      // It has no other form: whoever asked natively for X.509 gets what was asked with.
      const payload = encodeCoseC509([certificate]);
      return content(responses.changed, formats.certificate, payload);
    }
    if (wanted === formats.certificate) {
      const payload = encodeCoseC509([c509FromX509(certificate, decompress)]);
      return content(responses.changed, wanted, payload);
    }
    const isBare = wanted === contentFormats.pkixCertificate;
    return content(
      responses.changed,
      wanted,
      isBare ? certificate : encodeCertsOnly([certificate]),
    );
  }

  #no(counted: string, code: number): CoapContent {
    this.#options.onRefusal(counted);
    return { code, options: [], payload: empty };
  }
}

const methodOf: Readonly<Record<CoapEstOperation, number>> = {
  cacerts: methods.get,
  csrattrs: methods.get,
  simpleenroll: methods.post,
  simplereenroll: methods.post,
};

/** As EST's statuses map (RFC 9148 §4.5); a sensor reads no text, so that the code says it all. */
const codes: Readonly<Record<EnrolmentRefusalCode, number>> = {
  'bad-proof': responses.badRequest,
  'pop-linking': responses.badRequest,
  'subject-mismatch': responses.badRequest,
  rejected: responses.badRequest,
  'bad-secret': responses.unauthorized,
  'wrong-identity': responses.forbidden,
  'unknown-device': responses.forbidden,
  'not-released': responses.forbidden,
  held: responses.forbidden,
  revoked: responses.forbidden,
  'enrolled-already': responses.conflict,
  'key-taken': responses.conflict,
  taken: responses.conflict,
};

/** A root; what links two of them comes behind the authorities (RFC 7030 §4.1.3). */
function isSelfIssued(der: Uint8Array): boolean {
  const { subject, issuer } = parseCertificate(der);
  return sameName(subject, issuer);
}

function content(code: number, format: number, payload: Uint8Array): CoapContent {
  return { code, options: [uint(optionNumbers.contentFormat, format)], payload };
}

/** ECDSA with SHA-256 by a key on P-256, natively signed or not; names are the server's to give. */
function requestTemplate(): Uint8Array {
  return encodeRequestTemplate({
    requestTypes: [2, 3],
    signatureAlgorithms: undefined,
    subject: undefined,
    publicKeyAlgorithms: undefined,
    extensions: [],
  });
}
