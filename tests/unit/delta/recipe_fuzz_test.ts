import { gunzipSync, gzipSync } from "node:zlib";
import type { GzipRecipe, RecipeSections } from "../../../lib/delta/gzip_recipe.ts";
import { GO1 } from "../../../lib/delta/models/go1.ts";
import { GO6 } from "../../../lib/delta/models/go6.ts";
import { KLAUSPOST5 } from "../../../lib/delta/models/klauspost5.ts";
import type { DeflateModel } from "../../../lib/delta/models/model.ts";
import { ZLIB } from "../../../lib/delta/models/zlib.ts";
import { assert, assertEquals } from "../../support/assert.ts";
import { Random } from "../../support/random.ts";
import { describeBytes, rebuildBytes } from "../../support/recipes.ts";
import { CorruptError } from "../../../lib/oci/error.ts";

const CASES = Number(Deno.env.get("CRPE_FUZZ_CASES") ?? 300);
const SEED = Number(Deno.env.get("CRPE_FUZZ_SEED") ?? 17);

function mutate(bytes: Uint8Array, random: Random): Uint8Array<ArrayBuffer> {
  const mutated = new Uint8Array(bytes);
  const count = 1 + random.below(4);
  for (let index = 0; index < count && mutated.length > 0; index++) {
    const at = random.below(mutated.length);
    mutated[at] = random.below(2) === 0 ? mutated[at]! ^ 1 << random.below(8) : [0, 1, 127, 128, 255][random.below(5)]!;
  }
  const cut = random.below(10);
  if (cut === 0) return mutated.slice(0, random.below(mutated.length + 1));
  if (cut === 1) {
    return Uint8Array.from([
      ...mutated,
      ...Array.from({ length: 1 + random.below(20) }, () => random.below(256)),
    ]);
  }
  return mutated;
}

function makePlain(): Uint8Array<ArrayBuffer> {
  const random = new Random(1);
  return Uint8Array.from({ length: 9000 }, (_, index) => index % 3000 < 200 ? random.below(256) : 97 + random.below(5));
}

// One set of parameters, so that a case takes little time.
const MODELS: readonly DeflateModel[] = [
  { ...GO6, parameterSets: () => [Uint8Array.of(6)] },
  { ...ZLIB, parameterSets: () => [Uint8Array.of(6, 8, 0)] },
  { ...KLAUSPOST5, parameterSets: () => [Uint8Array.of(5, 16, 2)] },
  GO1,
];

Deno.test(`mutated streams are described exactly or not at all (seed ${SEED})`, async () => {
  const random = new Random(SEED);
  const gzip = new Uint8Array(gzipSync(makePlain(), { level: 6 }));
  for (let number = 0; number < CASES; number++) {
    const mutated = mutate(gzip, random);
    const { recipe, plain } = await describeBytes(mutated, { models: [MODELS[number % MODELS.length]!] });
    if (recipe === undefined) continue;
    assertEquals(await rebuildBytes(plain, recipe), mutated, `case ${number} of seed ${SEED}`);
  }
});

Deno.test(`mutated recipes give an error or bounded bytes (seed ${SEED})`, async () => {
  const random = new Random(SEED);
  const plain = makePlain();
  const seeds: GzipRecipe[] = [];
  for (const options of [{ level: 6 }, { level: 1 }, { level: 0 }, { level: 6 }]) {
    const { recipe } = await describeBytes(gzipSync(plain, options), {
      models: [MODELS[seeds.length % MODELS.length]!],
    });
    seeds.push(recipe!);
  }
  let refused = 0;
  for (let number = 0; number < CASES; number++) {
    const recipe = mutateRecipe(seeds[number % seeds.length]!, random);
    try {
      const { length } = await rebuildBytes(plain, recipe);
      // The longest code of a literal has 15 bits; headers and stored blocks are in the sections or small.
      const { tokens, blocks, headers, members } = recipe.sections;
      const bound = 4 * plain.length + 400 * (blocks.length + 1) + tokens.length + headers.length + members.length;
      assert(length <= bound, `case ${number} of seed ${SEED} gives ${length} bytes`);
    } catch (error) {
      assert(error instanceof CorruptError, `case ${number} of seed ${SEED}: ${error}`);
      refused++;
    }
  }
  assert(refused > CASES / 4, `${refused} are refused`);
});

function mutateRecipe(recipe: GzipRecipe, random: Random): GzipRecipe {
  const names = ["tokens", "blocks", "headers", "members"] as const;
  const name = names[random.below(names.length)]!;
  const sections: RecipeSections = { ...recipe.sections, [name]: mutate(recipe.sections[name], random) };
  const plainSize = random.below(20) === 0 ? recipe.plainSize + random.below(3) - 1 : recipe.plainSize;
  return { ...recipe, plainSize, sections };
}

Deno.test("the plain bytes of the seeds are right", async () => {
  const gzip = gzipSync(makePlain());
  const { plain } = await describeBytes(gzip, { models: MODELS });
  assertEquals(plain, new Uint8Array(gunzipSync(gzip)));
});
