import { formatBlockRecord } from "../../../lib/delta/block_record.ts";
import type { GzipRecipe } from "../../../lib/delta/gzip_recipe.ts";
import { modelById, MODELS } from "../../../lib/delta/models/all.ts";
import { rebuildGzip } from "../../../lib/delta/rebuild_gzip.ts";
import { SectionWriter } from "../../../lib/delta/section_bytes.ts";
import { assert, assertRejects } from "../../support/assert.ts";
import { Random } from "../../support/random.ts";
import { CorruptError } from "../../../lib/oci/error.ts";

const HEADER = Uint8Array.of(0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255);
const LONGEST = 65_535;
const PARAMETERS: Readonly<Record<string, readonly number[]>> = {
  go6: [9],
  go127: [6],
  go1: [],
  klauspost5: [5, 0, 2],
  zlib: [9, 8, 0],
};

/** A recipe of stored blocks: `count` of one byte each, then the rest. */
function recipeOf(id: string, count: number, plainSize: number): GzipRecipe {
  const [members, blocks] = [new SectionWriter(), new SectionWriter()];
  members.number(HEADER.length);
  members.raw(HEADER);
  members.number(plainSize);
  members.byte(0);
  members.number(0);
  const store = (length: number, isFinal: boolean) => {
    blocks.byte(formatBlockRecord({ isFinal, type: 0, end: 3, hasHeader: false, hasPadding: false }));
    blocks.number(length);
  };
  for (let i = 0; i < count; i++) store(1, false);
  for (let left = plainSize - count; left > 0; left -= LONGEST) store(Math.min(LONGEST, left), left <= LONGEST);
  return {
    model: { id, version: 1, parameters: Uint8Array.from(PARAMETERS[id]!) },
    plainSize,
    sections: {
      ...{ tokens: new Uint8Array(), headers: new Uint8Array() },
      ...{ blocks: blocks.finish(), members: members.finish() },
    },
  };
}

for (const { id } of MODELS) {
  Deno.test(`[99] blocks of one byte, for each of which ${id} predicts thousands, are refused`, async () => {
    const plainSize = 200_000;
    const plain = new Random(17).bytes(plainSize);
    let made = 0;
    const work = async () => {
      const options = { findModel: modelById };
      const source = ReadableStream.from([plain]);
      for await (const piece of rebuildGzip(source, recipeOf(id, 3000, plainSize), options)) made += piece.length;
    };
    await assertRejects(work, CorruptError, "it takes more work than its size allows");
    // Not one block in ten was rebuilt.
    assert(made < 3000, `${made} bytes`);
  });
}
