/** CoAP over UDP to one server, as a driver offers it (RFC 7252): reliability and deduplication are its own. */
import type { CoapContent } from '../../wire/coap/message.ts';

export interface CoapLink {
  /**
   * One confirmable request, sent until it is answered. Responses prove nothing by themselves. Rejects
   * with a retryable `DeviceFault` when none comes.
   */
  request(request: CoapContent): Promise<CoapContent>;
}
