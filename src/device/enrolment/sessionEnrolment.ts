/**
 * The operational certificate of a device without TLS: EST inside its OSCORE session (RFC 9148,
 * draft-ietf-ace-coap-est-oscore), in C509 where bytes are dear. The session has shown who the server is;
 * a certificate is taken only when it is for this device and its key. One run at a time; what a loss of
 * power cuts short is asked for again.
 */
import { empty, equal } from '../../wire/bytes/bytes.ts';
import { MalformedError, UnsupportedError } from '../../wire/bytes/malformed.ts';
import { type EitherCertificate, parseEitherCertificate } from '../../wire/c509/either.ts';
import { parseCoseC509 } from '../../wire/c509/coseHeaders.ts';
import type { PointDecompressor } from '../../wire/c509/publicKey.ts';
import { c509FromPkcs10, prepareNativeRequest } from '../../wire/c509/request.ts';
import { isSuccess, methods, responses } from '../../wire/coap/codes.ts';
import { contentFormats } from '../../wire/coap/contentFormats.ts';
import type { CoapContent } from '../../wire/coap/message.ts';
import { findUint, optionNumbers, uint, uriPath } from '../../wire/coap/options.ts';
import type { Crypto } from '../../wire/crypto/crypto.ts';
import { decodeCertsOnly } from '../../wire/est/certsOnly.ts';
import {
  type C509ContentFormats,
  coapEstPath,
  type CoapEstOperation,
  experimentalC509Formats,
} from '../../wire/est/coapResources.ts';
import { type EdhocExporter, edhocUnique, linkingPassword } from '../../wire/est/popLinking.ts';
import { signatureAlgorithmOids } from '../../wire/x509/algorithms.ts';
import { keyWitness, witnessedBytes } from '../../wire/x509/keyWitness.ts';
import type { Certificate } from '../../wire/x509/model.ts';
import { parseName } from '../../wire/x509/names.ts';
import { p256Spki, parseSpki } from '../../wire/x509/spki.ts';
import { birthKey, type SigningKey, signingKeyOf } from '../identity/signingKeys.ts';
import type { DeviceClock } from '../ports/clock.ts';
import type { DeviceElement } from '../ports/element.ts';
import { type SessionExchange, transfer } from '../sessions/transfer.ts';
import {
  chainOf,
  type DeviceIdentity,
  faultOfLdevid,
  type LdevidFault,
  type RequestExtras,
  requestLdevid,
} from './ldevid.ts';
import { readIdentity } from './steps.ts';

export interface SessionEnrolmentPorts {
  readonly element: DeviceElement;
  readonly crypto: Crypto;
  readonly clock: DeviceClock;
  readonly decompress: PointDecompressor;
  /** Of the present session: `NonIpSensor.exchange`, `CoapSession.exchange`. */
  readonly exchange: SessionExchange;
  /** EDHOC_Exporter of the same session. Present: requests name it, so that nobody else can have signed them. */
  readonly exporter?: () => EdhocExporter | undefined;
}

export interface SessionEnrolmentOptions {
  /** Largest block that fits a message: see `blockBytesWithin`. */
  readonly blockBytes: number;
  /** `native`: signed as CBOR, the smallest. `c509`: X.509 in CBOR. `x509`: for servers without C509. */
  readonly form: 'native' | 'c509' | 'x509';
  /**
   * Whether the authorities are fetched and the certificate's signature is checked. The session already
   * shows that it comes from the server; on a slow radio that may be enough.
   */
  readonly checksIssuer: boolean;
  readonly formats: C509ContentFormats;
  /** Which part of a certificate's life passes before another one is asked for. */
  readonly renewAfter: number;
}

export const sessionEnrolmentDefaults: Omit<SessionEnrolmentOptions, 'blockBytes'> = {
  form: 'native',
  checksIssuer: false,
  formats: experimentalC509Formats,
  renewAfter: 2 / 3,
};

export type SessionEnrolmentOutcome =
  | { readonly kind: 'enrolled'; readonly again: boolean; readonly certificateBytes: number }
  /** Nothing was asked: the certificate is in force. `dueMs`: when to come back, where a clock tells. */
  | { readonly kind: 'in-force'; readonly dueMs: number | undefined }
  | SessionEnrolmentFailure;

/** No certificate. */
export type SessionEnrolmentFailure =
  | { readonly kind: 'later'; readonly retryAfterMs: number }
  /** An authentic no. */
  | { readonly kind: 'refused'; readonly code: number }
  | { readonly kind: 'unacceptable'; readonly fault: LdevidFault | 'malformed' };

/** A certificate chain of three with post-quantum keys would not go over a radio anyway. */
const maximumBodyBytes = 8_192;
const defaultRetryMs = 30_000;

/**
 * Asks for the first certificate, or another one when the present one is due; `always` asks in any case.
 * The key stays (RFC 7030 §4.2.2); for a new one see `rekey.ts`. Rejects with a `DeviceFault` when the session
 * ended, and with the element's errors.
 */
export async function enrolInSession(
  ports: SessionEnrolmentPorts,
  given: Partial<SessionEnrolmentOptions> & Pick<SessionEnrolmentOptions, 'blockBytes'>,
  when: 'due' | 'always' = 'due',
): Promise<SessionEnrolmentOutcome> {
  const options = { ...sessionEnrolmentDefaults, ...given };
  const key = await signingKeyOf(ports.element, 'ldevid');
  const identity = { ...(await readIdentity(ports.element)), point: key.point };
  const present = await presentLdevid(ports, identity);
  const dueMs = present === undefined ? 0 : dueOf(present, options.renewAfter);
  const nowMs = ports.clock.nowMs();
  const isDue = present === undefined || (nowMs !== undefined && nowMs >= dueMs);
  if (!isDue && when === 'due') {
    return { kind: 'in-force', dueMs: nowMs === undefined ? undefined : dueMs };
  }
  const issued = await askFor(ports, options, { identity, key, present });
  if ('kind' in issued) return issued;
  // A crash before this write: the device asks again and gets another certificate for the same key.
  await ports.element.write({ certificates: { ldevid: [issued.bytes] } });
  const again = present !== undefined;
  return { kind: 'enrolled', again, certificateBytes: issued.bytes.length };
}

export interface AskedCertificate {
  /** `point` is that of the key. */
  readonly identity: DeviceIdentity;
  readonly key: SigningKey;
  /** The certificate that is in force. */
  readonly present: Certificate | undefined;
}

/** A certificate that is for this device and this key, and that nobody has stored yet. */
export async function askFor(
  ports: SessionEnrolmentPorts,
  options: SessionEnrolmentOptions,
  asked: AskedCertificate,
): Promise<Issued | SessionEnrolmentFailure> {
  const est = new EstExchange(ports, options);
  const authorities = options.checksIssuer ? await est.authorities() : [];
  if ('kind' in authorities) return authorities;
  const issued = await est.enrol(asked);
  if ('kind' in issued) return issued;
  const fault =
    faultOfLdevid(issued.certificate, asked.identity, ports.clock.nowMs()) ??
    (options.checksIssuer && chainOf(ports.crypto, issued.certificate, authorities) === undefined
      ? 'no-chain'
      : undefined);
  return fault === undefined ? issued : { kind: 'unacceptable', fault };
}

/**
 * What a request with a block holds beside it, at most: frame kind 1, CoAP header 4, OSCORE option 6,
 * marker 1; inside code 1, path 6, Content-Format 3, Block1 4, marker 1, tag 8. A response has less.
 */
const aroundBlockBytes = 35;

/** The largest block whose frames fit the link: 16 on 51 bytes. */
export function blockBytesWithin(frameBytes: number): number {
  let blockBytes = 1024;
  while (blockBytes > 16 && blockBytes + aroundBlockBytes > frameBytes) blockBytes /= 2;
  return blockBytes;
}

export interface Issued {
  readonly certificate: Certificate;
  /** As it goes into the element: the C509 array, or DER. */
  readonly bytes: Uint8Array;
}

class EstExchange {
  readonly #ports: SessionEnrolmentPorts;
  readonly #options: SessionEnrolmentOptions;

  constructor(ports: SessionEnrolmentPorts, options: SessionEnrolmentOptions) {
    this.#ports = ports;
    this.#options = options;
  }

  async authorities(): Promise<readonly Certificate[] | SessionEnrolmentFailure> {
    const { form, formats } = this.#options;
    const accept = form === 'x509' ? contentFormats.pkcs7CertsOnly : formats.chain;
    const response = await this.#ask('cacerts', methods.get, [uint(optionNumbers.accept, accept)]);
    const outcome = outcomeOf(response);
    if (outcome !== undefined) return outcome;
    return this.#read(response, (certificates) => certificates.map((one) => one.certificate));
  }

  async enrol(asked: AskedCertificate): Promise<Issued | SessionEnrolmentFailure> {
    const { form, formats } = this.#options;
    const format = form === 'x509' ? contentFormats.pkcs10 : formats.request;
    const operation = asked.present === undefined ? 'simpleenroll' : 'simplereenroll';
    // Without Accept: a server answers in the encoding of the request, and two bytes are two bytes.
    const options = [uint(optionNumbers.contentFormat, format)];
    const payload = await this.#request(asked);
    const response = await this.#ask(operation, methods.post, options, payload);
    const outcome = outcomeOf(response);
    if (outcome !== undefined) return outcome;
    return this.#read(response, ([issued]) => {
      if (issued === undefined) return undefined;
      const { encoding, certificate } = issued;
      return { certificate, bytes: new Uint8Array(encoding) };
    });
  }

  async #request({ identity, key, present }: AskedCertificate): Promise<Uint8Array> {
    const { element, decompress } = this.#ports;
    const { form } = this.#options;
    // RFC 7030 §4.2.2: a renewal repeats the subject that the certificate has.
    const subject = present?.subject.der ?? identity.subject;
    const extras = { ...this.#link(), ...(await witnessFor(element, key)) };
    if (form !== 'native') {
      const der = await requestLdevid(key, subject, extras);
      return form === 'x509' ? der : c509FromPkcs10(der, decompress);
    }
    const request = prepareNativeRequest({
      signatureAlgorithm: { oid: signatureAlgorithmOids['ecdsa-with-SHA256'] },
      subject: parseName(subject),
      publicKey: parseSpki(p256Spki(key.point)),
      ...extras,
    });
    return request.finish(await key.sign(request.toBeSigned));
  }

  /** Between two keys of a session, and after KUDOS, there is nothing to name. */
  #link(): { readonly challengePassword?: string } {
    const exporter = this.#ports.exporter?.();
    return exporter === undefined
      ? {}
      : { challengePassword: linkingPassword(edhocUnique(exporter)) };
  }

  #ask(
    operation: CoapEstOperation,
    code: number,
    options: CoapContent['options'],
    payload: Uint8Array = empty,
  ): Promise<CoapContent> {
    const path = uriPath(coapEstPath(operation, 'short'));
    const request = { code, options: [...path, ...options], payload };
    const { blockBytes } = this.#options;
    return transfer(this.#ports.exchange, request, { blockBytes, maximumBodyBytes });
  }

  #read<Result>(
    { options, payload }: CoapContent,
    use: (certificates: readonly ReadCertificate[]) => Result | undefined,
  ): Result | SessionEnrolmentFailure {
    const format = findUint(options, optionNumbers.contentFormat);
    const { formats } = this.#options;
    try {
      const encodings =
        format === formats.certificate || format === formats.chain
          ? parseCoseC509(payload)
          : decodeCertsOnly(payload);
      const read = encodings.map((encoding) => ({
        encoding,
        ...parseEitherCertificate(encoding, this.#ports.decompress),
      }));
      return use(read) ?? { kind: 'unacceptable', fault: 'malformed' };
    } catch (error) {
      const isServers = error instanceof MalformedError || error instanceof UnsupportedError;
      if (!isServers) throw error;
      return { kind: 'unacceptable', fault: 'malformed' };
    }
  }
}

/** A key that the device was not born with needs the word of that one. */
async function witnessFor(
  element: DeviceElement,
  key: SigningKey,
): Promise<Pick<RequestExtras, 'others'>> {
  const birth = await birthKey(element);
  if (equal(birth.point, key.point)) return {};
  return { others: keyWitness(await birth.sign(witnessedBytes(p256Spki(key.point)))) };
}

interface ReadCertificate extends EitherCertificate {
  readonly encoding: Uint8Array;
}

/** `undefined` for a success. */
function outcomeOf({ code, options }: CoapContent): SessionEnrolmentFailure | undefined {
  if (isSuccess(code)) return undefined;
  if (code !== responses.serviceUnavailable) return { kind: 'refused', code };
  const maxAgeS = findUint(options, optionNumbers.maxAge);
  return { kind: 'later', retryAfterMs: maxAgeS === undefined ? defaultRetryMs : maxAgeS * 1000 };
}

/** The certificate in the element, when it is one for this device and this key. */
export async function presentLdevid(
  { element, decompress }: Pick<SessionEnrolmentPorts, 'element' | 'decompress'>,
  identity: DeviceIdentity,
): Promise<Certificate | undefined> {
  const [ldevid] = (await element.readCertificate('ldevid')) ?? [];
  if (ldevid === undefined) return undefined;
  try {
    const { certificate } = parseEitherCertificate(ldevid, decompress);
    return faultOfLdevid(certificate, identity, undefined) === undefined ? certificate : undefined;
  } catch (error) {
    if (error instanceof MalformedError || error instanceof UnsupportedError) return undefined;
    throw error;
  }
}

function dueOf({ notBeforeMs, notAfterMs }: Certificate, renewAfter: number): number {
  return notBeforeMs + (notAfterMs - notBeforeMs) * renewAfter;
}
