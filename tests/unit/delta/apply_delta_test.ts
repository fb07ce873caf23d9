import { gzipSync } from "node:zlib";
import { joinChunks } from "../../../lib/bytes/join_chunks.ts";
import { LentMemory } from "../../../lib/bytes/lent_chunks.ts";
import { rebuildLayer } from "../../../lib/delta/apply_delta.ts";
import { scratchOf } from "../../../lib/delta/delta_sections.ts";
import { makeDelta } from "../../../lib/delta/make_delta.ts";
import { OldLayers } from "../../../lib/delta/old_layers.ts";
import type { DeltaFile } from "../../../lib/delta/part_reader.ts";
import { computeDigest } from "../../../lib/oci/digest.ts";
import { assert, assertEquals, assertRejects } from "../../support/assert.ts";
import { layerInput, makeText } from "../../support/delta_fixture.ts";
import { memoryScratch } from "../../support/memory_scratch.ts";

const CHUNK_BYTES = 1000;
/** Those of the prefix and of the JSON. */
const HEADER_CHUNKS = 3;
const openScratch = () => Promise.resolve(memoryScratch());
const encoder = new TextEncoder();
const texts = [0, 1, 2, 3].map((seed) => encoder.encode(makeText(seed, 70_000)));
const before = joinChunks(texts.slice(0, 3));
const oldLayer = new Uint8Array(gzipSync(before));
const OPTIONS = { openScratch, compressed: scratchOf(oldLayer) };
const layer = new Uint8Array(
  gzipSync(joinChunks([texts[2]!, texts[0]!.map((byte) => byte | 1), texts[3]!, texts[1]!])),
);

async function makeFile(): Promise<DeltaFile> {
  const options = { openScratch, effort: "fast" } as const;
  using old = await OldLayers.open([layerInput(oldLayer)], options);
  const made = await makeDelta(old, layerInput(layer), options);
  if ("reason" in made) throw new Error(made.reason);
  return made.file;
}

/** A delta whose bytes are lent in small chunks, and what is in use of them. */
class LentDelta implements DeltaFile {
  readonly size: number;
  opened = 0;
  openBodies = 0;
  readonly #bytes: Uint8Array;
  readonly #chunks: Uint8Array[] = [];
  readonly #failsAt: number;

  /** @param failsAt which opening fails, counted from 1 */
  constructor(bytes: Uint8Array, failsAt = Infinity) {
    this.#bytes = bytes;
    this.size = bytes.length;
    this.#failsAt = failsAt;
  }

  /** Asserts that nothing is open, and that only the chunks of the header are left to a collection. */
  assertEnded(when: string): void {
    assertEquals(this.openBodies, 0, `open bodies ${when}`);
    const inUse = this.#chunks.filter(({ buffer }) => buffer.byteLength > 0).length;
    assert(inUse <= HEADER_CHUNKS, `${inUse} of ${this.#chunks.length} chunks ${when}`);
  }

  // deno-lint-ignore require-await
  async open(start: number, length: number): Promise<ReadableStream<Uint8Array>> {
    if (++this.opened === this.#failsAt) throw new Error("the delta was removed");
    this.openBodies++;
    let at = start;
    return new ReadableStream<Uint8Array>({
      pull: async (controller) => {
        if (at === start + length) {
          this.openBodies--;
          return controller.close();
        }
        const memory = new LentMemory(this.#bytes.slice(at, Math.min(at += CHUNK_BYTES, start + length)));
        at = Math.min(at, start + length);
        const chunk = await memory.lend(0, CHUNK_BYTES);
        memory.drop();
        this.#chunks.push(chunk);
        controller.enqueue(chunk);
      },
      cancel: () => void this.openBodies--,
    }, { highWaterMark: 0 });
  }
}

const file = await makeFile();
const delta = await new Response(await file.open(0, file.size)).bytes();

Deno.test("a layer is rebuilt from chunks whose memory is given up when they were used", async () => {
  const lent = new LentDelta(delta);
  const pieces: Uint8Array[] = [];
  for await (const piece of rebuildLayer(lent, memoryScratch(before), OPTIONS)) pieces.push(piece.slice());
  assertEquals(computeDigest(joinChunks(pieces)), computeDigest(layer));
  lent.assertEnded("at the end");
  assert(lent.opened > 5, `${lent.opened} parts`);
});

Deno.test("[99] a rebuild that ends early leaves no part of the delta open", async () => {
  for (const pieces of [1, 2, 3]) {
    const lent = new LentDelta(delta);
    let left = pieces;
    for await (const piece of rebuildLayer(lent, memoryScratch(before), OPTIONS)) {
      if (piece.length > 0 && --left === 0) break;
    }
    lent.assertEnded(`after ${pieces} pieces`);
  }
});

Deno.test("[99] a delta that is removed while it is opened leaves no part of it open", async () => {
  const whole = new LentDelta(delta);
  for await (const piece of rebuildLayer(whole, memoryScratch(before), OPTIONS)) assert(piece.length > 0);
  for (let failsAt = 1; failsAt <= whole.opened; failsAt++) {
    const lent = new LentDelta(delta, failsAt);
    const work = async () => {
      for await (const piece of rebuildLayer(lent, memoryScratch(before), OPTIONS)) assert(piece.length > 0);
    };
    await assertRejects(work, Error, "the delta was removed");
    lent.assertEnded(`opening ${failsAt} of ${whole.opened}`);
  }
});

Deno.test("[99] a base that is shorter than it says leaves no part of the delta open", async () => {
  const lent = new LentDelta(delta);
  const work = async () => {
    const bases = { size: before.length, readAt: () => 0 };
    for await (const piece of rebuildLayer(lent, bases, OPTIONS)) assert(piece.length > 0);
  };
  await assertRejects(work, Error, "a base is shorter than it says");
  lent.assertEnded("at the end");
});
