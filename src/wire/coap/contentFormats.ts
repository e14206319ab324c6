/** CoAP Content-Formats registry: the numbers that our resources speak. */

export const contentFormats = {
  textPlain: 0,
  linkFormat: 40,
  octetStream: 42,
  json: 50,
  cbor: 60,
  multipartCore: 62,
  /** RFC 9528 §10.11. */
  edhocSequence: 64,
  cidEdhocSequence: 65,
  /** RFC 9148 §4.1. */
  pkcs7ServerGeneratedKey: 280,
  pkcs7CertsOnly: 281,
  pkcs8: 284,
  csrAttributes: 285,
  pkcs10: 286,
  pkixCertificate: 287,
} as const;
