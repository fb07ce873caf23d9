import { gunzipSync } from "node:zlib";
import { RECIPE_LIMITS } from "../../../lib/delta/gzip_recipe.ts";
import { GO6 } from "../../../lib/delta/models/go6.ts";
import type { DeflateModel } from "../../../lib/delta/models/model.ts";
import { ZLIB } from "../../../lib/delta/models/zlib.ts";
import { StreamDescriber } from "../../../lib/delta/stream_describer.ts";
import { MemberWindow } from "../../../lib/delta/member_window.ts";
import { assert, assertEquals, assertThrows } from "../../support/assert.ts";
import { describeBytes, inChunks, rebuildBytes } from "../../support/recipes.ts";
import { CorruptError } from "../../../lib/oci/error.ts";

const FIXTURES = new URL("../../fixtures/delta/", import.meta.url);

// Streams of real compressors (scripts/delta/check_models.ts has many more): no prediction is wrong.
const STREAMS: readonly [file: string, model: DeflateModel, ...parameters: number[]][] = [
  ["small.go2.gz", GO6, 2],
  ["small.go4.gz", GO6, 4],
  ["small.go9.gz", GO6, 9],
  ["far.go6.gz", GO6, 6],
  ["large.go6.gz", GO6, 6],
  // Four windows, and a match at their end that reaches further back than after a move of the buffer.
  ["full.go6.gz", GO6, 6],
  ["small.zlib1.gz", ZLIB, 1, 8, 0],
  ["small.zlib3.gz", ZLIB, 3, 8, 0],
  ["small.zlib6.gz", ZLIB, 6, 8, 0],
  ["small.zlib9.gz", ZLIB, 9, 8, 0],
  ["small.zlib6m9.gz", ZLIB, 6, 9, 0],
  ["far.zlib6.gz", ZLIB, 6, 8, 0],
  ["small.gzip1.gz", ZLIB, 1, 8, 1],
  ["small.gzip6.gz", ZLIB, 6, 8, 1],
  ["small.gzip9.gz", ZLIB, 9, 8, 1],
  ["large.gzip6.gz", ZLIB, 6, 8, 1],
];
for (const [file, model, ...parameters] of STREAMS) {
  Deno.test(`${model.id} predicts ${file} without an error`, async () => {
    const gzip = await Deno.readFile(new URL(file, FIXTURES));
    const describer = new StreamDescriber({ model, parameters: Uint8Array.from(parameters), limits: RECIPE_LIMITS });
    await describer.read(inChunks(gzip));
    const { wrongTokens, wrongEnds, wrongHeaders, tokens } = describer.counts;
    assertEquals({ wrongTokens, wrongEnds, wrongHeaders }, { wrongTokens: 0, wrongEnds: 0, wrongHeaders: 0 });
    assert(tokens > 100);
    assertEquals(describer.sections.tokens.length + describer.sections.headers.length, 0);

    const { recipe, plain } = await describeBytes(gzip);
    assertEquals(recipe?.model.id, model.id);
    assertEquals(plain, new Uint8Array(gunzipSync(gzip)));
    assertEquals(await rebuildBytes(plain, recipe!, 5003), gzip);
  });
}

Deno.test("unknown parameters of a model are refused", () => {
  const refused: readonly [DeflateModel, ...number[]][] = [
    ...[[], [0], [1], [10], [6, 0]].map((it): [DeflateModel, ...number[]] => [GO6, ...it]),
    ...[[6], [0, 8, 0], [10, 8, 0], [6, 7, 0], [6, 10, 0], [6, 8, 2]].map((it): [DeflateModel, ...number[]] => [
      ZLIB,
      ...it,
    ]),
  ];
  for (const [model, ...parameters] of refused) {
    assertThrows(() => model.start(Uint8Array.from(parameters), new MemberWindow(model)), CorruptError);
  }
});
