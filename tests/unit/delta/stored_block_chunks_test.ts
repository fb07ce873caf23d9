import { constants, createGzip } from "node:zlib";
import { RECIPE_LIMITS } from "../../../lib/delta/gzip_recipe.ts";
import { ZLIB } from "../../../lib/delta/models/zlib.ts";
import { StreamDescriber } from "../../../lib/delta/stream_describer.ts";
import { assertEquals } from "../../support/assert.ts";
import { Random } from "../../support/random.ts";
import { makeText } from "../../support/delta_fixture.ts";

const PIECE_BYTES = 100;

/** Compresses bytes in pieces: each is a block, stored if it has random bytes, and an empty one with fixed codes follows. */
async function compress(input: Uint8Array): Promise<Uint8Array<ArrayBuffer>> {
  const gzip = createGzip({ flush: constants.Z_PARTIAL_FLUSH });
  const done = new Response(
    new ReadableStream<Uint8Array>({
      start(controller) {
        gzip.on("data", (piece: Uint8Array) => controller.enqueue(new Uint8Array(piece)));
        gzip.on("end", () => controller.close());
      },
    }),
  ).bytes();
  for (let at = 0; at < input.length; at += PIECE_BYTES) {
    await new Promise<void>((resolve) => gzip.write(input.subarray(at, at + PIECE_BYTES), () => resolve()));
  }
  gzip.end();
  return await done;
}

async function* inChunks(bytes: Uint8Array<ArrayBuffer>, size: number) {
  for (let at = 0; at < bytes.length; at += size) yield await Promise.resolve(bytes.subarray(at, at + size));
}

Deno.test("stored blocks are read wherever the chunks of a stream end", async () => {
  const random = new Random(1);
  const input = new TextEncoder().encode(makeText(3, 12_000));
  for (let at = PIECE_BYTES; at < input.length; at += 2 * PIECE_BYTES) {
    for (let i = at; i < at + PIECE_BYTES; i++) input[i] = random.next();
  }
  const bytes = await compress(input);
  for (let size = 1000; size < 1040; size++) {
    const pieces: Uint8Array<ArrayBuffer>[] = [];
    const plain = (piece: Uint8Array<ArrayBuffer>) => void pieces.push(piece.slice());
    const describer = new StreamDescriber({
      ...{ model: ZLIB, parameters: new Uint8Array([6, 8, 0]), limits: RECIPE_LIMITS, plain },
    });
    await describer.read(inChunks(bytes, size));
    assertEquals(await new Blob(pieces).bytes(), input, `chunks of ${size}`);
  }
});
