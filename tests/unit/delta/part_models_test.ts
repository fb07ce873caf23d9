import { gunzipSync } from "node:zlib";
import { RECIPE_LIMITS } from "../../../lib/delta/gzip_recipe.ts";
import { MemberWindow } from "../../../lib/delta/member_window.ts";
import { modelById } from "../../../lib/delta/models/all.ts";
import { goCodeLengths } from "../../../lib/delta/models/go_headers.ts";
import { HuffmanTree } from "../../../lib/delta/models/huffman_tree.ts";
import { hashLong, KlauspostTables } from "../../../lib/delta/models/klauspost_tables.ts";
import { StreamDescriber } from "../../../lib/delta/stream_describer.ts";
import { assert, assertEquals, assertThrows } from "../../support/assert.ts";
import { describeBytes, inChunks, rebuildBytes } from "../../support/recipes.ts";
import { CorruptError } from "../../../lib/oci/error.ts";

const FIXTURES = new URL("../../fixtures/delta/", import.meta.url);

// Streams of real compressors: no prediction is wrong.
const STREAMS: readonly { file: string; model: string; parameters: number[] }[] = [
  { file: "parts.klauspost-1.15.12.gz", model: "klauspost5", parameters: [5, 0, 1] },
  { file: "parts.klauspost-1.19.2.gz", model: "klauspost5", parameters: [5, 0, 2] },
  { file: "parts.klauspost-1.20.4.gz", model: "klauspost5", parameters: [5, 0, 3] },
  { file: "parts.klauspost6-1.19.2.gz", model: "klauspost5", parameters: [6, 0, 2] },
  { file: "chunks.pgzip-1.15.12.gz", model: "klauspost5", parameters: [5, 16, 1] },
  { file: "chunks.pgzip-1.19.2.gz", model: "klauspost5", parameters: [5, 16, 2] },
  { file: "chunks.pgzip-1.20.4.gz", model: "klauspost5", parameters: [5, 16, 3] },
  { file: "parts.go-1.27.gz", model: "go127", parameters: [6] },
  { file: "parts.go1-1.27.gz", model: "go127", parameters: [1] },
  { file: "chunks.pgzip1-1.18.7.gz", model: "klauspost5", parameters: [1, 16, 2] },
  { file: "parts.go1.gz", model: "go1", parameters: [] },
  { file: "tiny.klauspost-1.20.4.gz", model: "klauspost5", parameters: [5, 0, 3] },
];
for (const { file, model: id, parameters } of STREAMS) {
  Deno.test(`${id} predicts ${file} without an error`, async () => {
    const model = modelById(id, 1)!;
    const gzip = await Deno.readFile(new URL(file, FIXTURES));
    const describer = new StreamDescriber({ model, parameters: Uint8Array.from(parameters), limits: RECIPE_LIMITS });
    await describer.read(inChunks(gzip, 777));
    const { wrongTokens, wrongEnds, wrongHeaders } = describer.counts;
    assertEquals({ wrongTokens, wrongEnds, wrongHeaders }, { wrongTokens: 0, wrongEnds: 0, wrongHeaders: 0 });

    const { recipe, plain } = await describeBytes(gzip, { models: [model], effort: "max" });
    assertEquals(plain, new Uint8Array(gunzipSync(gzip)));
    assertEquals(await rebuildBytes(plain, recipe!, 5003), gzip);
  });
}

Deno.test("a stream of an older version is rebuilt with corrections", async () => {
  const gzip = await Deno.readFile(new URL("parts.klauspost-1.20.4.gz", FIXTURES));
  const parameters = Uint8Array.of(6, 1, 0);
  const model = { ...modelById("klauspost5", 1)!, parameterSets: () => [parameters] };
  const { recipe, plain } = await describeBytes(gzip, { models: [model] });
  assertEquals(recipe?.model.parameters, parameters);
  const { tokens, blocks, headers } = recipe!.sections;
  assert(tokens.length > 100 && blocks.length > 3 && headers.length > 10, "nothing was corrected");
  assertEquals(await rebuildBytes(plain, recipe!, 5003), gzip);
});

Deno.test("the model and the parameters of a stream are found", async () => {
  const fewer = ["parts.klauspost-1.20.4.gz", "chunks.pgzip-1.15.12.gz", "parts.go-1.27.gz", "parts.go1.gz"];
  for (const { file, model, parameters } of STREAMS.filter(({ file }) => fewer.includes(file))) {
    const { recipe } = await describeBytes(await Deno.readFile(new URL(file, FIXTURES)));
    const found = [recipe?.model.id, ...recipe?.model.parameters ?? []];
    // Before the first 1 MiB, pgzip is like klauspost/compress alone.
    if (file.startsWith("parts") && found.length === 4) found[2] = 0;
    assertEquals(found, [model, ...parameters], file);
  }
});

Deno.test("unknown parameters of klauspost5, go127 and go1 are refused", () => {
  const refused: readonly [id: string, ...number[]][] = [
    ["klauspost5"],
    ["klauspost5", 4, 0, 2],
    ["klauspost5", 5, 0, 4],
    ["klauspost5", 5, 0, 2, 0],
    ["go127"],
    ["go127", 4],
    ["go1", 1],
  ];
  for (const [id, ...parameters] of refused) {
    const model = modelById(id, 1)!;
    assertThrows(() => model.start(Uint8Array.from(parameters), new MemberWindow(model)), CorruptError);
  }
});

Deno.test("a Huffman tree with inner nodes first has the code lengths of package-merge", () => {
  const [tree, random] = [new HuffmanTree("node"), createRandom(17)];
  let limited = 0;
  for (let round = 0; round < 600; round++) {
    const [size, limit] = [[19, 7], [30, 15], [286, 15]][round % 3]!;
    const [density, skew] = [random(), 1 + 8 * random()];
    const frequencies = Int32Array.from({ length: size! }, () => random() < density ? random() ** skew * 3000 : 0);
    const [lengths, expected] = [new Uint8Array(size!), new Uint8Array(size!)];
    tree.setLengths(frequencies, limit!, lengths);
    goCodeLengths(frequencies, limit!, expected);
    assertEquals(lengths, expected);
    if (lengths.includes(limit!)) limited++;
  }
  assert(limited > 20, "no code was limited");
});

Deno.test("a Huffman tree with symbols first has codes that vary less", () => {
  const lengths = (ties: "node" | "symbol") => {
    const result = new Uint8Array(4);
    new HuffmanTree(ties).setLengths(Int32Array.of(1, 1, 2, 2), 15, result);
    return [...result];
  };
  assertEquals(lengths("symbol"), [2, 2, 2, 2]);
  assertEquals(lengths("node"), [3, 3, 2, 1]);
});

Deno.test("the hash of seven bytes has the highest bits of a product of 64 bits", () => {
  const random = createRandom(3);
  const view = new DataView(new ArrayBuffer(8));
  for (let round = 0; round < 1000; round++) {
    for (let i = 0; i < 8; i++) view.setUint8(i, round === 0 ? 255 : random() * 256);
    const product = BigInt.asUintN(64, (view.getBigUint64(0, true) << 8n) * 58_295_818_150_454_627n);
    assertEquals(hashLong(view.getInt32(0, true), view.getInt32(3, true)), Number(product >> 49n));
  }
});

Deno.test("positions stay what they are when they are numbered anew", () => {
  const tables = new KlauspostTables(new DataView(new ArrayBuffer(100_000)));
  const hash = tables.hashLong(0);
  tables.rememberLong(70_000);
  tables.rememberLong(80_000);
  const positions = () => [tables.long[hash]! - tables.shift, tables.longBefore[hash]! - tables.shift];
  tables.slide(65_536);
  assertEquals(positions(), [80_000 - 65_536, 70_000 - 65_536]);
  // Far more than 2 to the power of 31, in steps that leave the last position just within reach.
  for (let step = 0; step < 40_000; step++) {
    tables.slide(65_536);
    tables.rememberLong(60_000);
    tables.rememberLong(65_600);
    tables.slide(65_536);
    assertEquals(positions(), [64, 60_000 - 65_536]);
  }
});

function createRandom(seed: number): () => number {
  let state = seed;
  return () => (state = Math.imul(state, 1_664_525) + 1_013_904_223 >>> 0) / 2 ** 32;
}
