/** Elements and sockets that misbehave in one chosen way and are ordinary software elements otherwise. */
import type { ElementFolder } from '../../../src/drivers/elements/software/elementFolder.ts';
import {
  type Element,
  type ElementBin,
  ElementError,
  type ElementSocket,
} from '../../../src/trust/ports/element.ts';
import { toHex } from '../../../src/wire/bytes/hex.ts';
import { elementNameOf } from './memoryFolder.ts';

export type Strangeness = (element: Element) => Partial<Element>;

export interface RecordingSocket extends ElementSocket {
  readonly bins: Map<string, ElementBin>;
}

/** Presents the elements of these numbers in this order; `strange` changes those it names. */
export function strangeSocket(
  folder: ElementFolder,
  numbers: ReadonlyArray<number | ElementError>,
  strange: Readonly<Record<number, Strangeness>> = {},
): RecordingSocket {
  const queue = [...numbers];
  const bins = new Map<string, ElementBin>();
  return {
    family: 'software',
    bins,
    async next(): Promise<Element | undefined> {
      const number = queue.shift();
      if (number instanceof ElementError) throw number;
      if (number === undefined) return undefined;
      const element = await folder.open(elementNameOf(number));
      return { ...methodsOf(element), ...strange[number]?.(element) };
    },
    async bin(element: Element, bin: ElementBin): Promise<void> {
      bins.set(toHex(element.identity.uid), bin);
    },
  };
}

export function failing(code: ElementError['code']): () => Promise<never> {
  return () => Promise.reject(new ElementError(code, `made to be ${code}`));
}

function methodsOf(element: Element): Element {
  return {
    identity: element.identity,
    lifecycle: () => element.lifecycle(),
    random: (lengthBytes) => element.random(lengthBytes),
    generateKey: (slot) => element.generateKey(slot),
    publicKey: (slot) => element.publicKey(slot),
    sign: (slot, data) => element.sign(slot, data),
    agree: (slot, peer) => element.agree(slot, peer),
    write: (contents) => element.write(contents),
    readCertificate: (slot) => element.readCertificate(slot),
    readData: (slot) => element.readData(slot),
    lock: () => element.lock(),
  };
}
