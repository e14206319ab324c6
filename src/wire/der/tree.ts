/**
 * DER of many layers, written at once: `element` copies its content, so that a megabyte in six layers
 * would be copied six times. Reads as its ASN.1, like the writer.
 */
import { headerBytes, writeHeader } from './writer.ts';

/** An element that is not written yet. */
export interface Branch {
  readonly tag: number;
  readonly contentLength: number;
  readonly content: ReadonlyArray<Branch | Uint8Array>;
}

export function branch(tag: number, ...content: ReadonlyArray<Branch | Uint8Array>): Branch {
  let contentLength = 0;
  for (const part of content) contentLength += lengthOf(part);
  return { tag, contentLength, content };
}

export function encodeBranch(root: Branch): Uint8Array {
  const encoded = new Uint8Array(lengthOf(root));
  write(encoded, 0, root);
  return encoded;
}

/** Returns the offset behind it. */
function write(target: Uint8Array, start: number, { tag, contentLength, content }: Branch): number {
  let offset = writeHeader(target, start, tag, contentLength);
  for (const part of content) {
    if (part instanceof Uint8Array) {
      target.set(part, offset);
      offset += part.length;
    } else {
      offset = write(target, offset, part);
    }
  }
  return offset;
}

function lengthOf(part: Branch | Uint8Array): number {
  if (part instanceof Uint8Array) return part.length;
  return headerBytes(part.contentLength) + part.contentLength;
}
