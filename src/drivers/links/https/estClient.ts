/** Enrolment over Secure Transport (RFC 7030) as a client: the two calls of a first power-on. */
import { DeviceFault } from '../../../device/ports/faults.ts';
import type { DeviceCredential, ServerAnswer } from '../../../device/ports/server.ts';
import { parseBase64, toBase64 } from '../../../wire/bytes/base64.ts';
import { fromUtf8, utf8 } from '../../../wire/bytes/utf8.ts';
import type { HttpsClient } from './httpsClient.ts';

const wellKnown = '/.well-known/est';
const pkcs7 = 'application/pkcs7-mime';

export class EstClient {
  readonly #client: HttpsClient;

  constructor(client: HttpsClient) {
    this.#client = client;
  }

  /** RFC 7030 §4.1. The body of the answer is DER. */
  async caCertificates(credential: DeviceCredential): Promise<ServerAnswer> {
    const path = `${wellKnown}/cacerts`;
    return decoded(await this.#client.send({ credential, method: 'GET', path, accept: pkcs7 }));
  }

  /** RFC 7030 §4.2.1. DER of a PKCS#10 request; the body of the answer is DER. */
  async simpleEnroll(credential: DeviceCredential, request: Uint8Array): Promise<ServerAnswer> {
    const body = { type: 'application/pkcs10', bytes: utf8(toBase64(request)) };
    const path = `${wellKnown}/simpleenroll`;
    return decoded(
      await this.#client.send({ credential, method: 'POST', path, accept: pkcs7, body }),
    );
  }
}

/** RFC 8951 §3.1: base64, whatever Content-Transfer-Encoding says, with or without line breaks. */
function decoded(answer: ServerAnswer): ServerAnswer {
  if (answer.kind !== 'answer') return answer;
  const body = parseBase64((fromUtf8(answer.body) ?? '?').replaceAll(/[ \t\r\n]/g, ''));
  if (body === undefined) {
    throw new DeviceFault('the EST server sent no base64', { retryable: true });
  }
  return { kind: 'answer', body };
}
