/** OCSP answers (RFC 6960 §4.2): prepared, signed by whoever holds the key, finished; and read back. */
import { type DerReader, readDer } from '../der/reader.ts';
import { contextConstructed, contextPrimitive, tags } from '../der/tags.ts';
import { branch, type Branch, encodeBranch } from '../der/tree.ts';
import * as der from '../der/writer.ts';
import { reasonOf, revocationReasons, type RevocationReason } from '../crl/reason.ts';
import { encodeNonce } from './request.ts';

const oids = {
  basic: '1.3.6.1.5.5.7.48.1.1',
  nonce: '1.3.6.1.5.5.7.48.1.2',
  /** RFC 6960 §4.4.8: says that a serial never issued is answered as revoked. */
  extendedRevoke: '1.3.6.1.5.5.7.48.1.9',
} as const;

/** RFC 6960 §4.2.1. These answers are not signed. */
export const unsuccessful = {
  malformedRequest: 1,
  internalError: 2,
  tryLater: 3,
  sigRequired: 5,
  unauthorized: 6,
} as const;

export type Unsuccessful = keyof typeof unsuccessful;

export type CertStatus =
  | { readonly kind: 'good' }
  | { readonly kind: 'revoked'; readonly revokedAtMs: number; readonly reason?: RevocationReason }
  | { readonly kind: 'unknown' };

export interface SingleResponse {
  /** DER of the CertID, as asked. */
  readonly certId: Uint8Array;
  readonly status: CertStatus;
  readonly thisUpdateMs: number;
  /** RFC 9919 §3.2.4: has to be there in this profile. */
  readonly nextUpdateMs: number;
}

export interface ResponseDataFields {
  /** SHA-1 of the responder's public key: RFC 9919 §3.2.2 wants byKey. */
  readonly responderKeyHash: Uint8Array;
  readonly producedAtMs: number;
  readonly responses: readonly SingleResponse[];
  readonly nonce?: Uint8Array | undefined;
  readonly extendedRevoke?: boolean | undefined;
}

export function encodeUnsuccessful(status: Unsuccessful): Uint8Array {
  return der.sequence(der.element(tags.enumerated, Uint8Array.of(unsuccessful[status])));
}

/** The part that is signed. */
export function encodeResponseData(fields: ResponseDataFields): Uint8Array {
  const extensions: Uint8Array[] = [];
  if (fields.nonce !== undefined) extensions.push(encodeNonce(fields.nonce));
  if (fields.extendedRevoke === true) {
    extensions.push(der.sequence(der.oid(oids.extendedRevoke), der.octetString(der.nullElement)));
  }
  return encodeBranch(
    branch(
      tags.sequence,
      branch(contextConstructed(2), branch(tags.octetString, fields.responderKeyHash)),
      timeOf(fields.producedAtMs),
      branch(tags.sequence, ...fields.responses.map(singleResponse)),
      ...(extensions.length === 0
        ? []
        : [branch(contextConstructed(1), branch(tags.sequence, ...extensions))]),
    ),
  );
}

/** `certificates`: the delegated responder's, so that a client needs nothing else. */
export function encodeOcspResponse(
  responseData: Uint8Array,
  signatureAlgorithm: Uint8Array,
  signature: Uint8Array,
  certificates: readonly Uint8Array[] = [],
): Uint8Array {
  const basic = branch(
    tags.sequence,
    responseData,
    signatureAlgorithm,
    branch(tags.bitString, noUnusedBits, signature),
    ...(certificates.length === 0
      ? []
      : [branch(contextConstructed(0), branch(tags.sequence, ...certificates))]),
  );
  const responseBytes = branch(tags.sequence, basicType, branch(tags.octetString, basic));
  return encodeBranch(
    branch(tags.sequence, successful, branch(contextConstructed(0), responseBytes)),
  );
}

/** All answers of one second say the same few times. */
const times = new Map<number, Uint8Array>();
const rememberedTimes = 8;

/** RFC 9919 §3.2.4: GeneralizedTime in Zulu, with seconds, without fractions. */
function timeOf(timeMs: number): Uint8Array {
  const known = times.get(timeMs);
  if (known !== undefined) return known;
  if (times.size >= rememberedTimes) times.clear();
  const encoded = der.generalizedTime(timeMs);
  times.set(timeMs, encoded);
  return encoded;
}

const basicType = der.oid(oids.basic);
const successful = der.element(tags.enumerated, Uint8Array.of(0));
const noUnusedBits = Uint8Array.of(0);

function singleResponse(single: SingleResponse): Branch {
  return branch(
    tags.sequence,
    single.certId,
    encodeStatus(single.status),
    timeOf(single.thisUpdateMs),
    branch(contextConstructed(0), timeOf(single.nextUpdateMs)),
  );
}

function encodeStatus(status: CertStatus): Uint8Array {
  switch (status.kind) {
    case 'good':
      return der.element(contextPrimitive(0));
    case 'unknown':
      return der.element(contextPrimitive(2));
    case 'revoked': {
      const { reason = 'unspecified', revokedAtMs } = status;
      const code = der.element(tags.enumerated, Uint8Array.of(revocationReasons[reason]));
      return der.element(
        contextConstructed(1),
        der.generalizedTime(revokedAtMs),
        ...(reason === 'unspecified' ? [] : [der.explicit(0, code)]),
      );
    }
  }
}

/** A signed answer as read; whether the signer may speak for the issuer is not judged here. */
export interface OcspResponse {
  readonly responseData: Uint8Array;
  readonly signatureAlgorithm: string;
  readonly signature: Uint8Array;
  readonly certificates: readonly Uint8Array[];
  readonly producedAtMs: number;
  readonly responses: ReadonlyArray<Omit<SingleResponse, 'nextUpdateMs'> & NextUpdate>;
  readonly nonce: Uint8Array | undefined;
}

interface NextUpdate {
  readonly nextUpdateMs: number | undefined;
}

export function parseOcspResponse(input: Uint8Array): OcspResponse | Unsuccessful {
  return readDer(input, (reader) =>
    reader.sequence((response) => {
      const start = response.offset;
      const status = response.content(tags.enumerated)[0] ?? 255;
      if (status !== 0) return unsuccessfulOf(status) ?? response.fail('no response status', start);
      return response.constructed(contextConstructed(0), (bytes) =>
        bytes.sequence((content) => {
          const typeStart = content.offset;
          if (content.oid() !== oids.basic) content.fail('not a basic response', typeStart);
          return content.encapsulated(readBasicResponse);
        }),
      );
    }),
  );
}

function unsuccessfulOf(status: number): Unsuccessful | undefined {
  for (const [name, value] of Object.entries(unsuccessful)) {
    if (value === status && isUnsuccessful(name)) return name;
  }
  return undefined;
}

function isUnsuccessful(name: string): name is Unsuccessful {
  return Object.hasOwn(unsuccessful, name);
}

function readBasicResponse(reader: DerReader): OcspResponse {
  return reader.sequence((basic) => {
    const data = basic.recorded(readResponseData);
    const signatureAlgorithm = basic.sequence((algorithm) => {
      const oid = algorithm.oid();
      algorithm.optional(tags.null, (parameters) => parameters.null());
      return oid;
    });
    const signature = basic.bitStringOctets();
    const certificates =
      basic.optional(contextConstructed(0), (outer) =>
        outer.constructed(contextConstructed(0), (inner) =>
          inner.sequenceOf((item) => item.element()),
        ),
      ) ?? [];
    return { ...data.value, responseData: data.der, signatureAlgorithm, signature, certificates };
  });
}

type ResponseData = Pick<OcspResponse, 'producedAtMs' | 'responses' | 'nonce'>;

function readResponseData(reader: DerReader): ResponseData {
  return reader.sequence((data) => {
    data.optional(contextConstructed(0), (version) => version.element());
    data.element();
    const producedAtMs = data.generalizedTime();
    const responses = data.sequenceOf(readSingleResponse);
    let nonce: Uint8Array | undefined;
    data.optional(contextConstructed(1), (outer) =>
      outer.constructed(contextConstructed(1), (list) =>
        list.sequenceOf((item) =>
          item.sequence((content) => {
            const oid = content.oid();
            content.optional(tags.boolean, (critical) => critical.boolean());
            if (oid === oids.nonce) nonce = content.encapsulated((value) => value.octetString());
            else content.octetString();
          }),
        ),
      ),
    );
    return { producedAtMs, responses, nonce };
  });
}

function readSingleResponse(reader: DerReader): OcspResponse['responses'][number] {
  return reader.sequence((single) => {
    const certId = single.element();
    const status = readStatus(single);
    const thisUpdateMs = single.generalizedTime();
    const nextUpdateMs = single.optional(contextConstructed(0), (outer) =>
      outer.constructed(contextConstructed(0), (time) => time.generalizedTime()),
    );
    single.optional(contextConstructed(1), (extensions) => extensions.element());
    return { certId, status, thisUpdateMs, nextUpdateMs };
  });
}

function readStatus(reader: DerReader): CertStatus {
  if (reader.isNext(contextPrimitive(0))) {
    reader.content(contextPrimitive(0));
    return { kind: 'good' };
  }
  if (reader.isNext(contextPrimitive(2))) {
    reader.content(contextPrimitive(2));
    return { kind: 'unknown' };
  }
  return reader.constructed(contextConstructed(1), (revoked) => {
    const revokedAtMs = revoked.generalizedTime();
    const reason = revoked.optional(contextConstructed(0), (outer) =>
      outer.constructed(contextConstructed(0), (code) => {
        const start = code.offset;
        return reasonOf(code.content(tags.enumerated)[0] ?? 255) ?? code.fail('no reason', start);
      }),
    );
    return { kind: 'revoked', revokedAtMs, ...(reason !== undefined && { reason }) };
  });
}
