/** CSR attributes (RFC 7030 §4.5.2 as RFC 8951 §4 has it): what a server wants of a request. */
import * as der from '../der/writer.ts';

export type CsrAttribute =
  /** Wanted as such: challengePassword, a signature algorithm. Dotted. */
  | { readonly oid: string }
  /** Wanted with one of these values, OIDs all of them: a key type with its curve, extensions. Dotted. */
  | { readonly type: string; readonly values: readonly string[] };

/** DER of CsrAttrs, in the given order. */
export function encodeCsrAttributes(attributes: readonly CsrAttribute[]): Uint8Array {
  return der.sequence(
    ...attributes.map((attribute) =>
      'oid' in attribute
        ? der.oid(attribute.oid)
        : der.sequence(
            der.oid(attribute.type),
            der.setOf(...attribute.values.map((value) => der.oid(value))),
          ),
    ),
  );
}
