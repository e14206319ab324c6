/** Feeds the software elements of a folder to a station, as a handler feeds chips. */
import type { Element, ElementBin, ElementSocket } from '../../../trust/ports/element.ts';
import { toHex } from '../../../wire/bytes/hex.ts';
import type { ElementFolder } from './elementFolder.ts';
import { softwareFamily } from './softwareElement.ts';

/**
 * Presents the elements of `names` (by default all of the folder) once each. Bins are bookkeeping only:
 * a file stays where its device will look for it.
 */
export async function softwareSocket(
  folder: ElementFolder,
  names?: readonly string[],
): Promise<ElementSocket & { readonly bins: ReadonlyMap<string, ElementBin> }> {
  const queue = [...(names ?? (await folder.names()))].reverse();
  const bins = new Map<string, ElementBin>();
  return {
    family: softwareFamily,
    bins,
    async next(): Promise<Element | undefined> {
      const name = queue.pop();
      return name === undefined ? undefined : folder.open(name);
    },
    async bin(element: Element, bin: ElementBin): Promise<void> {
      bins.set(toHex(element.identity.uid), bin);
    },
  };
}
