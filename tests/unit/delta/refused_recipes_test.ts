import {
  type GzipRecipe,
  RECIPE_LIMITS,
  type RecipeModel,
  type RecipeSections,
} from "../../../lib/delta/gzip_recipe.ts";
import { modelById } from "../../../lib/delta/models/all.ts";
import { rebuildGzip } from "../../../lib/delta/rebuild_gzip.ts";
import { SectionReader, SectionWriter } from "../../../lib/delta/section_bytes.ts";
import { assertEquals, assertRejects, assertThrows } from "../../support/assert.ts";
import { inChunks, rebuildBytes } from "../../support/recipes.ts";
import { CorruptError } from "../../../lib/oci/error.ts";

const PLAIN = new TextEncoder().encode("a plain text, a plain text, a plain text");
const MODEL: RecipeModel = { id: "go6", version: 1, parameters: Uint8Array.of(6) };
const HEADER = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

// Bits of the records of blocks.
const [FINAL, FIXED, DYNAMIC, EMPTY, SAME, COUNT, HEADER_DIFFERS] = [1, 2, 4, 8, 16, 24, 32] as const;

interface Changes {
  readonly model?: Partial<RecipeModel>;
  readonly plainSize?: number;
  readonly tokens?: readonly number[];
  readonly blocks?: readonly number[];
  readonly headers?: readonly number[];
  readonly members?: readonly number[];
}

// One member with one final block of fixed codes, and what differs from that.
function makeRecipe({ model, plainSize = PLAIN.length, ...changes }: Changes): GzipRecipe {
  const sections: RecipeSections = {
    tokens: Uint8Array.from(changes.tokens ?? []),
    blocks: Uint8Array.from(changes.blocks ?? [FINAL | FIXED]),
    headers: Uint8Array.from(changes.headers ?? []),
    members: Uint8Array.from(changes.members ?? [HEADER.length, ...HEADER, PLAIN.length, 0, 0]),
  };
  return { model: { ...MODEL, ...model }, plainSize, sections };
}

Deno.test("the recipe that the refused ones are made of is not refused", async () => {
  const gzip = await rebuildBytes(PLAIN, makeRecipe({}));
  const plain = new Response(new Blob([gzip]).stream().pipeThrough(new DecompressionStream("gzip")));
  assertEquals(await plain.bytes(), PLAIN);
});

const REFUSED: Record<string, Changes> = {
  "an unknown model": { model: { id: "none" } },
  "an unknown version of a model": { model: { version: 99 } },
  "unknown parameters": { model: { parameters: Uint8Array.of(77) } },
  "too many parameters": { model: { parameters: new Uint8Array(65) } },
  "more plain bytes than there are": { plainSize: 1000, members: [10, ...HEADER, 100, 0, 0] },
  "less plain bytes than there are": { plainSize: 30, members: [10, ...HEADER, 30, 0, 0] },
  "more plain bytes than the limit": { plainSize: RECIPE_LIMITS.plainBytes + 1 },
  "a member of more plain bytes than all": { members: [10, ...HEADER, 41, 0, 0] },
  "plain bytes that no member has": { plainSize: 41 },
  "a member without its end": { members: [10, ...HEADER, 40] },
  "no end of the members": { members: [10, ...HEADER, 40, 0] },
  "a header that is too long": { members: [255, 255, 255, 1] },
  "a number that does not end": { members: Array(20).fill(255) },
  "no blocks": { blocks: [] },
  "no final block": { blocks: [FIXED] },
  "blocks after the final one": { blocks: [FINAL | FIXED, FINAL | FIXED] },
  "the reserved type": { blocks: [FINAL | FIXED | DYNAMIC] },
  "an unknown bit of a block": { blocks: [FINAL | FIXED | 128] },
  "a block of fewer tokens, and no other": { blocks: [FINAL | FIXED | COUNT, 3] },
  "a block of more tokens than there are": { blocks: [FINAL | FIXED | COUNT, 200, 1] },
  "a block of no token": { blocks: [FINAL | FIXED | COUNT, 0] },
  "a block of too many tokens": { blocks: [FINAL | FIXED | COUNT, 255, 255, 255, 1] },
  "the bytes of a block before it that there is not": { blocks: [FINAL | FIXED | SAME] },
  "a stored block beyond the end": { blocks: [FINAL | COUNT, 41] },
  "a stored block that is too long": { blocks: [FINAL | COUNT, 255, 255, 4] },
  "an empty final block before the end": { blocks: [FINAL | FIXED | EMPTY] },
  "more blocks than the plain bytes allow": { blocks: [...Array(5000).fill(FIXED | EMPTY), FINAL | FIXED] },
  "a token beyond the end": { tokens: [2, 200, 1, 0, 0] },
  "a token of an unknown length": { tokens: [2, 130, 2, 0, 0] },
  "a match before the start": { tokens: [2, 1, 3, 0] },
  "a match that is too far": { tokens: [2, 1, 255, 255] },
  "a token that is cut": { tokens: [2, 1, 3] },
  "tokens after the last one": { tokens: [200, 1, 0] },
  "a missing header": { blocks: [FINAL | DYNAMIC | HEADER_DIFFERS] },
  "unknown bits of a header": { blocks: [FINAL | DYNAMIC | HEADER_DIFFERS], headers: [8] },
  "too many codes": { blocks: [FINAL | DYNAMIC | HEADER_DIFFERS], headers: [1, 31, 0, 0] },
  "a code beyond the last": { blocks: [FINAL | DYNAMIC | HEADER_DIFFERS], headers: [1, 0, 0, 1, 200, 3, 1] },
  "a code that is too long": { blocks: [FINAL | DYNAMIC | HEADER_DIFFERS], headers: [1, 0, 0, 1, 1, 16] },
  "too many run lengths": { blocks: [FINAL | DYNAMIC | HEADER_DIFFERS], headers: [2, 255, 255, 1] },
  "too few run-length codes": { blocks: [FINAL | DYNAMIC | HEADER_DIFFERS], headers: [4, 3] },
  "a run-length code that is too long": { blocks: [FINAL | DYNAMIC | HEADER_DIFFERS], headers: [4, 4, 8, 0, 0, 0] },
  "headers that are left": { headers: [1] },
};
for (const [name, changes] of Object.entries(REFUSED)) {
  Deno.test(`a recipe is refused: ${name}`, async () => {
    await assertRejects(() => rebuildBytes(PLAIN, makeRecipe(changes)), CorruptError);
  });
}

Deno.test("a recipe is refused: sections larger than the limit", async () => {
  const rebuild = (sectionBytes: number) => {
    const limits = { ...RECIPE_LIMITS, sectionBytes };
    return Array.fromAsync(rebuildGzip(inChunks(PLAIN), makeRecipe({}), { findModel: modelById, limits }));
  };
  await rebuild(15);
  await assertRejects(() => rebuild(14), CorruptError, "too large");
});

Deno.test("numbers of sections are read as they were written", () => {
  const numbers = [0, 1, 127, 128, 300, 65_535, 2 ** 31, 2 ** 32 + 5, Number.MAX_SAFE_INTEGER];
  const writer = new SectionWriter();
  for (const number of numbers) writer.number(number);
  const reader = new SectionReader(writer.finish(), "tokens");
  assertEquals(numbers.map(() => reader.number(Number.MAX_SAFE_INTEGER)), numbers);
  assertEquals(reader.left, 0);
  assertThrows(() => reader.byte(), CorruptError, "tokens");
});
