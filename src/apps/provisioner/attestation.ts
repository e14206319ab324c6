/**
 * Evidence of devices' states, as the operator wants it: a JSON file that says for each product what its
 * devices may run, and whether they get sessions without saying so.
 *
 *     { "products": { "T100": { "demanded": true,
 *         "measurements": { "firmware": ["646676312e32", "646676312e33"], "bootloader": ["626231"] } } } }
 *
 * Evidence is good when it has one of the listed contents for each name, and nothing else: what is left out is
 * not known to be good. A content is encoded (CBOR), in hexadecimal. A product that is not named may run anything.
 */
import { readFile } from 'node:fs/promises';
import { nodeCrypto } from '../../drivers/keys/software/nodeCrypto.ts';
import { EnvironmentError } from '../../trust/ports/faults.ts';
import type { Registry } from '../../trust/registry/registry.ts';
import type { AttestationPolicy } from '../../trust/sessions/attestations.ts';
import { EvidenceVerifier } from '../../trust/sessions/evidenceVerifier.ts';
import { toHex } from '../../wire/bytes/hex.ts';
import { utf8 } from '../../wire/bytes/utf8.ts';
import { exampleEvidenceFormat, type Measurement } from '../../wire/edhoc/attestation.ts';

export interface ProductState {
  readonly demanded: boolean;
  /** By content, in hexadecimal and lower case: the name of what it is a measurement of. */
  readonly measurements: ReadonlyMap<string, string>;
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
      return [product, { demanded, measurements: namesByContent(measurements, product) }];
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
        const state = await stateOf(deviceId);
        return state === undefined || isWhole(state, shown);
      },
    }),
  };
}

/** Each name once: a measurement that was left out would say as little as a bad one. */
function isWhole({ measurements }: ProductState, shown: readonly Measurement[]): boolean {
  const names = shown.map(({ content }) => measurements.get(toHex(content)));
  const wanted = new Set(measurements.values());
  return names.length === wanted.size && [...wanted].every((name) => names.includes(name));
}

/** Of what may be measured, in whatever order the file says it. */
function nameOf({ measurements }: ProductState): string {
  const pairs = [...measurements].map((pair) => JSON.stringify(pair)).sort();
  return toHex(nodeCrypto.hash('SHA-256', utf8(pairs.join())));
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

function namesByContent(value: unknown, product: string): ReadonlyMap<string, string> {
  const names = Object.entries(record(value, `measurements of ${product}`));
  if (names.length === 0) throw wrong(`measurements of ${product} are none`);
  const found = new Map<string, string>();
  for (const [name, list] of names) {
    const contents: readonly unknown[] = Array.isArray(list) ? list : [];
    if (contents.length === 0) throw wrong(`${name} of ${product} is no list of contents`);
    for (const content of contents) {
      if (typeof content !== 'string' || !/^([0-9a-f]{2})+$/.test(content)) {
        throw wrong(`${name} of ${product} has a content that is no hexadecimal text`);
      }
      // Of a content that stood twice nobody could say what it is a measurement of.
      if (found.has(content)) throw wrong(`${content} of ${product} stands there twice`);
      found.set(content, name);
    }
  }
  return found;
}

function wrong(what: string): EnvironmentError {
  return new EnvironmentError(`the file of measurements: ${what}`, { retryable: false });
}
