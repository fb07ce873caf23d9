import { joinChunks } from "../../lib/bytes/join_chunks.ts";
import { gzipSync } from "node:zlib";
import { formatGzipHead, GzipWriter } from "../../lib/archive/gzip_writer.ts";
import { BLOCK_BYTES, formatTarHeader, paddedSize } from "../../lib/archive/tar_header.ts";
import type { KubePkg } from "../../lib/kubepkg/kubepkg.ts";
import { computeDigest, type Digest } from "../../lib/oci/digest.ts";

/** An item of a part: a whole blob, or a piece of one. */
export type PartItem = readonly [digest: Digest] | readonly [digest: Digest, start: number, length: number];

/** Options of the parts. */
export interface PartsOptions {
  /** The content of all digests. */
  readonly contents: ReadonlyMap<Digest, Uint8Array>;
  /** Changes or drops the bytes of an entry: the part stays well-formed, but its content is wrong. */
  readonly spoil?: (name: string, bytes: Uint8Array) => Uint8Array | undefined;
  /** `ours` is the layout of stored blocks, which allows seeking. */
  readonly compression?: "ours" | "gzip" | "none";
}

/** Makes the parts of a package, each as the bytes of a file. */
export async function makeParts(
  kubepkg: KubePkg,
  items: readonly (readonly PartItem[])[],
  options: PartsOptions,
): Promise<Uint8Array<ArrayBuffer>[]> {
  const id = computeDigest(`${JSON.stringify(kubepkg, undefined, 2)}\n`);
  return await Promise.all(items.map(async (carried, i) => {
    const carries = carried.map(([digest, start, length]) =>
      start === undefined ? { digest } : { digest, start, length }
    );
    const part = { id, number: i + 1, count: items.length, carries };
    const document = { ...kubepkg, status: { ...kubepkg.status, part } };
    const head = formatEntry("kubepkg.json", new TextEncoder().encode(`${JSON.stringify(document, undefined, 2)}\n`));
    const body = carried.flatMap(([digest, start, length]) => {
      const name = `${start === undefined ? "blobs" : "pieces"}/${digest.replace(":", "/")}${
        start === undefined ? "" : `/${start}`
      }`;
      const all = options.contents.get(digest)!;
      const bytes = start === undefined ? all : all.slice(start, start + length!);
      const spoiled = options.spoil === undefined ? bytes : options.spoil(name, bytes);
      return spoiled === undefined ? [] : [formatEntry(name, spoiled)];
    });
    const rest = joinChunks([...body, new Uint8Array(2 * BLOCK_BYTES)]);
    switch (options.compression ?? "ours") {
      case "none":
        return joinChunks([head, rest]);
      case "gzip":
        return new Uint8Array(gzipSync(joinChunks([head, rest]), { level: 1 }));
      case "ours": {
        const { bytes, state } = formatGzipHead(head);
        const written = [bytes.slice()];
        const gzip = new GzipWriter({ write: (piece) => void written.push(piece.slice()) }, state);
        await gzip.write(rest);
        await gzip.finish();
        return joinChunks(written);
      }
    }
  }));
}

function formatEntry(name: string, bytes: Uint8Array): Uint8Array {
  return joinChunks([
    formatTarHeader(name, bytes.length),
    bytes,
    new Uint8Array(paddedSize(bytes.length) - bytes.length),
  ]);
}
