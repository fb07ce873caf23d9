import { joinChunks } from "../../lib/bytes/join_chunks.ts";
import { formatTarHeader, paddedSize } from "../../lib/archive/tar_header.ts";

const BLOCK = 512;

/** An entry of a tar: its raw headers, and its content. */
export interface TarPart {
  readonly name: string;
  /** The header, including an extended header before it. */
  readonly head: Uint8Array<ArrayBuffer>;
  readonly content: Uint8Array<ArrayBuffer>;
}

/** Makes an entry with a valid header. */
export function makePart(name: string, content: Uint8Array<ArrayBuffer>): TarPart {
  return { name, head: new Uint8Array(formatTarHeader(name, content.length)), content };
}

/** Splits a tar that crpe wrote into its entries. */
export function splitTar(tar: Uint8Array<ArrayBuffer>): TarPart[] {
  const parts: TarPart[] = [];
  const text = (at: number, length: number) =>
    new TextDecoder().decode(tar.subarray(at, at + length)).replace(/\0.*$/s, "");
  let start = 0;
  let path: string | undefined;
  for (let at = 0; tar[at] !== 0;) {
    const size = Number.parseInt(text(at + 124, 12), 8);
    const content = tar.slice(at + BLOCK, at + BLOCK + size);
    const next = at + BLOCK + paddedSize(size);
    if (text(at + 156, 1) === "x") path = / path=([^\n]*)\n/.exec(new TextDecoder().decode(content))?.[1];
    else {
      parts.push({ name: path ?? text(at, 100), head: tar.slice(start, at + BLOCK), content });
      path = undefined;
      start = next;
    }
    at = next;
  }
  return parts;
}

/** Joins entries into a tar. @param end the bytes after the last entry */
export function joinTar(parts: readonly TarPart[], end = new Uint8Array(2 * BLOCK)): Uint8Array<ArrayBuffer> {
  return joinChunks([
    ...parts.flatMap(({ head, content }) => {
      return [head, content, new Uint8Array(paddedSize(content.length) - content.length)];
    }),
    end,
  ]);
}

/** Changes a field of a header, and updates its checksum. */
export function changeHead(head: Uint8Array<ArrayBuffer>, at: number, field: Uint8Array): Uint8Array<ArrayBuffer> {
  const copy = head.slice();
  const block = copy.subarray(copy.length - BLOCK);
  block.set(field, at);
  block.fill(0x20, 148, 156);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.set(new TextEncoder().encode(`${sum.toString(8).padStart(6, "0")}\0 `), 148);
  return copy;
}
