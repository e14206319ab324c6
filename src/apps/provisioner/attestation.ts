/**
 * Evidence of devices' states, as the operator wants it: a JSON file that says for each product what its
 * devices may run, and whether they get sessions without saying so.
 *
 *     { "products": { "T100": { "demanded": true, "measurements": ["646676312e32"] } } }
 *
 * A measurement is the encoded content (CBOR), in hexadecimal. A product that is not named may run anything.
 */
import { readFile } from 'node:fs/promises';
import { nodeCrypto } from '../../drivers/keys/software/nodeCrypto.ts';
import { EnvironmentError } from '../../trust/ports/faults.ts';
import type { Registry } from '../../trust/registry/registry.ts';
import type { AttestationPolicy } from '../../trust/sessions/attestations.ts';
import { EvidenceVerifier } from '../../trust/sessions/evidenceVerifier.ts';
import { toHex } from '../../wire/bytes/hex.ts';
import { utf8 } from '../../wire/bytes/utf8.ts';
import { exampleEvidenceFormat } from '../../wire/edhoc/attestation.ts';

export interface ProductState {
  readonly demanded: boolean;
  /** Hexadecimal, lower case. */
  readonly measurements: ReadonlySet<string>;
}

/** By product. */
export type ProductStates = ReadonlyMap<string, ProductState>;

/** Rejects with an `EnvironmentError` that says what is wrong with the file. */
export async function readProductStates(file: string): Promise<ProductStates> {
  try {
    return parseProductStates(await readFile(file, 'utf8'));
  } catch (error) {
    if (error instanceof EnvironmentError) throw error;
    const reason = error instanceof Error ? error.message : 'unknown';
    throw new EnvironmentError(`${file} cannot be read: ${reason}`, { retryable: false });
  }
}

/** Throws an `EnvironmentError` that says what is wrong with the text. */
export function parseProductStates(text: string): ProductStates {
  const { products } = record(parsed(text), 'the file');
  return new Map(
    Object.entries(record(products, 'products')).map(([product, value]) => {
      const { demanded = false, measurements, ...others } = record(value, product);
      if (typeof demanded !== 'boolean') throw wrong(`demanded of ${product} is no true or false`);
      const [other] = Object.keys(others);
      if (other !== undefined) throw wrong(`${other} of ${product} is not known`);
      return [product, { demanded, measurements: hexes(measurements, product) }];
    }),
  );
}

export function attestationPolicy(
  registry: Pick<Registry, 'device'>,
  products: ProductStates,
): AttestationPolicy {
  const stateOf = async (deviceId: string): Promise<ProductState | undefined> => {
    const device = await registry.device(deviceId);
    return device && products.get(device.product);
  };
  return {
    demandOf: async (deviceId) => {
      const state = await stateOf(deviceId);
      return state?.demanded === true ? nameOf(state) : undefined;
    },
    verifier: new EvidenceVerifier({
      crypto: nodeCrypto,
      contentFormats: [exampleEvidenceFormat],
      signKeyOf: async (deviceId) => (await registry.device(deviceId))?.signKeySpki,
      isGood: async (deviceId, shown) => {
        const known = (await stateOf(deviceId))?.measurements;
        return known === undefined || shown.every(({ content }) => known.has(toHex(content)));
      },
    }),
  };
}

/** Of what may be measured, in whatever order the file says it. */
function nameOf({ measurements }: ProductState): string {
  return toHex(nodeCrypto.hash('SHA-256', utf8([...measurements].sort().join())));
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw wrong('it is no JSON');
  }
}

function record(value: unknown, what: string): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw wrong(`${what} is no object`);
  }
  return { ...value };
}

function hexes(value: unknown, product: string): ReadonlySet<string> {
  const list: readonly unknown[] = Array.isArray(value) ? value : [];
  const texts = list.filter((one) => typeof one === 'string' && /^([0-9a-f]{2})+$/.test(one));
  if (texts.length === 0 || texts.length !== list.length) {
    throw wrong(`measurements of ${product} are no list of hexadecimal texts`);
  }
  return new Set(texts.map(String));
}

function wrong(what: string): EnvironmentError {
  return new EnvironmentError(`the file of measurements: ${what}`, { retryable: false });
}
