import { FileSource } from "../../../lib/bytes/file_source.ts";
import { assertEquals } from "../../support/assert.ts";

const MIB = 2 ** 20;

/** Reads the chunks of a file of 8 MiB whose bytes have the number of their 64 KiB. */
async function readChunks(onChunk: (source: FileSource, count: number) => void): Promise<Uint8Array[]> {
  const source = new FileSource({
    size: 8 * MIB,
    read(position, buffer) {
      for (let i = 0; i < buffer.length; i++) buffer[i] = (position + i) >> 16;
      return Promise.resolve(buffer.length);
    },
    close() {},
  });
  const chunks: Uint8Array[] = [];
  for (let chunk = await source.read(); chunk !== undefined; chunk = await source.read()) {
    chunks.push(chunk);
    onChunk(source, chunks.length);
  }
  return chunks;
}

const rows:
  readonly (readonly [what: string, onChunk: Parameters<typeof readChunks>[0], lengths: readonly number[]])[] = [
    ["keeps all chunks by default", () => {}, [64, 128, 256, 512, 1024, 1024, 1024, 1024, 1024, 1024, 1024, 64]],
    [
      "gives chunks up when 1 MiB more was read, and none that was read before",
      (source, count) => count === 4 && source.giveUpChunks(true),
      [64, 128, 256, 512, 0, 0, 0, 0, 0, 0, 1024, 64],
    ],
    [
      "gives none up any more when it is turned off",
      (source, count) => (count === 4 || count === 7) && source.giveUpChunks(count === 4),
      [64, 128, 256, 512, 0, 1024, 1024, 1024, 1024, 1024, 1024, 64],
    ],
    [
      "gives none up because bytes were skipped",
      (source, count) => {
        if (count === 4) source.giveUpChunks(true);
        if (count === 6) source.skip(4 * MIB);
      },
      [64, 128, 256, 512, 1024, 1024, 64, 128, 256, 512, 128],
    ],
  ];

for (const [what, onChunk, lengths] of rows) {
  Deno.test(`FileSource ${what}`, async () => {
    const chunks = await readChunks(onChunk);
    assertEquals(chunks.map(({ length }) => length / 1024), lengths);
  });
}
