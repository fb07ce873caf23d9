import { createHash } from "node:crypto";
import { gzipSync } from "node:zlib";
import { joinChunks } from "../../../lib/bytes/join_chunks.ts";
import { LentMemory } from "../../../lib/bytes/lent_chunks.ts";
import { openSection, packSection, readSection } from "../../../lib/delta/delta_sections.ts";
import { describeGzip } from "../../../lib/delta/describe_gzip.ts";
import { inflateBase } from "../../../lib/delta/inflate_layers.ts";
import { modelById } from "../../../lib/delta/models/all.ts";
import { ZLIB } from "../../../lib/delta/models/zlib.ts";
import { rebuildGzip } from "../../../lib/delta/rebuild_gzip.ts";
import { computeDigest } from "../../../lib/oci/digest.ts";
import { assert, assertEquals } from "../../support/assert.ts";
import { makeText } from "../../support/delta_fixture.ts";
import { memoryScratch } from "../../support/memory_scratch.ts";
import { Random } from "../../support/random.ts";

// What is not given up waits for a collection, and an import of many layers needs the memory of several.

const CHUNK_BYTES = 64 << 10;
const random = new Random(1);
const noise = Uint8Array.from({ length: 1 << 20 }, () => random.next() & 255);

function countHeld(chunks: readonly Uint8Array[]): number {
  return chunks.filter(({ buffer }) => buffer.byteLength > 0).length;
}

Deno.test("the compressed and the plain bytes of a base are given up while it is inflated", async () => {
  const layer = gzipSync(noise);
  const chunks: Uint8Array[] = [];
  const pieces: Uint8Array[] = [];
  let [at, most] = [0, 0];
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      if (at >= layer.length) return controller.close();
      const memory = new LentMemory(new Uint8Array(layer.subarray(at, at += CHUNK_BYTES)));
      const chunk = await memory.lend(0, CHUNK_BYTES);
      memory.drop();
      chunks.push(chunk);
      controller.enqueue(chunk);
    },
  }, { highWaterMark: 0 });
  const plain = memoryScratch();
  const scratch = {
    ...plain,
    append(piece: Uint8Array) {
      plain.append(piece);
      pieces.push(piece);
      most = Math.max(most, countHeld(chunks) + countHeld(pieces));
    },
  };
  const digest = computeDigest(layer);
  const plainDigest = `sha256:${createHash("sha256").update(noise).digest("hex")}` as const;
  const base = { digest, size: layer.length, plainSize: noise.length, plainDigest };
  await inflateBase(base, { layer: { digest, open: () => Promise.resolve(body) }, scratch });
  assert(chunks.length > 15 && pieces.length > 15, `${chunks.length} chunks, ${pieces.length} pieces`);
  // A chunk that zlib works on, the one before it, and a piece.
  assert(most <= 4, `${most} chunks and pieces at the same time`);
  assertEquals(countHeld(chunks), 0);
  assert(countHeld(pieces) <= 1);
});

Deno.test("the pieces of a section are given up while it is read", async () => {
  const packed = memoryScratch();
  const section = await packSection(memoryScratch(noise), packed, { level: 1 });
  const source = openSection(new Blob([packed.bytes.slice()]).stream(), section);
  const buffers = new Set<ArrayBufferLike>();
  let bytes = 0;
  for (let piece = await source.read(); piece !== undefined; piece = await source.read()) {
    bytes += piece.length;
    buffers.add(piece.buffer);
    assert([...buffers].filter(({ byteLength }) => byteLength > 0).length <= 1);
  }
  await source.cancel();
  assertEquals([bytes, [...buffers].filter(({ byteLength }) => byteLength > 0).length], [noise.length, 0]);
});

Deno.test("a rebuilt stream gives up its memory at its end, and when it is not read to its end", async () => {
  const plain = new TextEncoder().encode(makeText(3, 300_000));
  const stream = new Uint8Array(gzipSync(plain));
  const recipe = (await describeGzip(new Blob([stream]).stream(), { models: [ZLIB], effort: "fast" }))!;
  for (const isWhole of [true, false]) {
    const hash = createHash("sha256");
    let last: ArrayBufferLike | undefined;
    for await (const piece of rebuildGzip(new Blob([plain]).stream(), recipe, { findModel: modelById })) {
      hash.update(piece);
      last = piece.buffer;
      assert(last.byteLength > 0);
      if (!isWhole) break;
    }
    assertEquals(hash.digest("hex") === createHash("sha256").update(stream).digest("hex"), isWhole);
    assertEquals(last?.byteLength, 0);
  }
});

// A chunk is overwritten when the next one is requested, as memory that was given up and used for something else.
async function* overwritten(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) {
    const chunk = bytes.slice(at, at + size);
    yield chunk;
    chunk.fill(0xff);
  }
}

Deno.test("a stream is described from chunks that are only valid until the next one", async () => {
  const stream = new Uint8Array(gzipSync(new TextEncoder().encode(makeText(4, 250_000))));
  const options = { models: [ZLIB], effort: "fast" } as const;
  const whole = await describeGzip(overwritten(stream, stream.length), options);
  assert(whole !== undefined);
  for (const size of [7, 1000, 65_536]) {
    assertEquals(await describeGzip(overwritten(stream, size), options), whole, `chunks of ${size}`);
  }
});

Deno.test("a section is packed with two chunks of its input at a time", async () => {
  const input = memoryScratch(joinChunks(Array.from({ length: 12 }, () => noise)));
  const chunks: Uint8Array[] = [];
  let most = 0;
  const counted = {
    size: input.size,
    readAt: (position: number, target: Uint8Array) => {
      chunks.push(target);
      most = Math.max(most, countHeld(chunks));
      return input.readAt(position, target);
    },
  };
  const packed = memoryScratch();
  const section = await packSection(counted, packed, { level: 1 });
  assertEquals(await readSection(new Blob([packed.bytes.slice()]).stream(), section), input.bytes);
  assert(chunks.length > 20 && most <= 3, `${most} of ${chunks.length} chunks`);
});
