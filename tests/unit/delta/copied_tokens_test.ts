import { gzipSync } from "node:zlib";
import { joinChunks } from "../../../lib/bytes/join_chunks.ts";
import { readDeltaHeader, rebuildLayer } from "../../../lib/delta/apply_delta.ts";
import { CopiedTokens } from "../../../lib/delta/copied_tokens.ts";
import { formatDeltaHeader, type HeaderModel, namesOfModels } from "../../../lib/delta/delta_format.ts";
import { packSection, readSection, scratchOf } from "../../../lib/delta/delta_sections.ts";
import { tokenBytes } from "../../../lib/delta/deflate_tables.ts";
import { findCopiedRuns, MIN_SPAN_BYTES, unselectSpans } from "../../../lib/delta/find_copied_runs.ts";
import { fileOf, type MadeDelta, makeDelta, type MakeDeltaOptions } from "../../../lib/delta/make_delta.ts";
import { modelById } from "../../../lib/delta/models/all.ts";
import type { DeflateModel, TokenPredictor } from "../../../lib/delta/models/model.ts";
import { OldLayers } from "../../../lib/delta/old_layers.ts";
import { type CopiedRun, formatCopiedRuns, parseCopiedRuns } from "../../../lib/delta/copied_runs.ts";
import { CorruptError } from "../../../lib/oci/error.ts";
import { assert, assertEquals, assertLess, assertRejects, assertThrows } from "../../support/assert.ts";
import { layerInput, makeText } from "../../support/delta_fixture.ts";
import { memoryScratch } from "../../support/memory_scratch.ts";

// Tokens that a layer has from its bases: docs/delta.md, "Copied tokens".

type Bytes = Uint8Array<ArrayBuffer>;

const encoder = new TextEncoder();
const openScratch = () => Promise.resolve(memoryScratch());
const textOf = (seed: number, size: number) => encoder.encode(makeText(seed, size));
const gzip = (bytes: Uint8Array, level = 6) => new Uint8Array(gzipSync(bytes, { level }));

const KEPT = [textOf(1, 120_000), textOf(2, 100_000)] as const;
const OLD = joinChunks([textOf(3, 5000), KEPT[0], textOf(4, 40_000), KEPT[1]]);
const NEW = joinChunks([KEPT[1], textOf(5, 20_001), KEPT[0], textOf(6, 3000)]);

const [OLD_LAYER, NEW_LAYER] = [gzip(OLD), gzip(NEW)];

const RUNS: readonly CopiedRun[] = [
  { start: 0, end: 8192, bit: 7_999, before: 0 },
  { start: 8192, end: 90_000, bit: 0, before: 99 },
  { start: 91_000, end: 100_000, bit: 1, before: 36_000 },
];

Deno.test("[99] the section of token runs is read as it was written", () => {
  assertEquals([...parseCopiedRuns(formatCopiedRuns(RUNS), { plainSize: 100_000, size: 1000 })], RUNS);
});

const WRONG_RUNS: Readonly<Record<string, readonly CopiedRun[]>> = {
  "a run that ends behind the layer": [{ start: 90_000, end: 100_001, bit: 0, before: 0 }],
  "a short run": [{ start: 0, end: 8191, bit: 0, before: 0 }],
  "a bit behind the bases": [{ start: 0, end: 10_000, bit: 8000, before: 0 }],
  "a bit before the bases": [
    { start: 0, end: 10_000, bit: 5, before: 0 },
    { start: 10_000, end: 20_000, bit: -1, before: 0 },
  ],
  "much that is decoded for nothing": [{ start: 0, end: 10_000, bit: 0, before: 40_001 }],
};

for (const [what, runs] of Object.entries(WRONG_RUNS)) {
  Deno.test(`[99] ${what} is refused`, () => {
    assertThrows(() => [...parseCopiedRuns(formatCopiedRuns(runs), { plainSize: 100_000, size: 1000 })], CorruptError);
  });
}

Deno.test("spans are cut where inner streams were left out", () => {
  const spans = [{ start: 0, length: 30, from: 100 }, { start: 35, length: 15, from: 500 }];
  const ranges = [{ start: 2, end: 12 }, { start: 20, end: 45 }, { start: 50, end: 100 }];
  assertEquals(unselectSpans(spans, ranges), [
    { start: 2, length: 10, from: 100 },
    { start: 20, length: 20, from: 110 },
    { start: 50, length: 15, from: 500 },
  ]);
});

Deno.test("tokens are those of the base, from whatever position they are asked for", async () => {
  const base = OLD_LAYER;
  const bases = [{ size: base.length, plainSize: OLD.length }];
  const compressed = scratchOf(base);
  const span = { start: 1000, length: OLD.length, from: 0 };
  const runs = await findCopiedRuns([span], { bases, compressed });
  assertEquals(runs.map(({ start, end }) => [start, end]), [[1000 + 32_768, 1000 + OLD.length - 516]]);
  const copied = new CopiedTokens({ runs, compressed });
  await copied.prepare(0, 1000 + OLD.length);
  const starts = new Map<number, number>();
  for (let at = 0; at < 1000 + OLD.length;) {
    const token = copied.at(at);
    if (token >= 0) starts.set(at, token);
    at += token >= 0 ? tokenBytes(token) : 1;
  }
  // Literals are the plain bytes, and matches repeat what was at their distance.
  for (const [at, token] of starts) {
    const position = at - 1000;
    if (token < 256) assertEquals(token, OLD[position]);
    else {
      const distance = token & 0xffff;
      const length = tokenBytes(token);
      const [match, source] = [position, position - distance].map((from) => OLD.subarray(from, from + length));
      assertEquals(match, source);
    }
  }
  const made = [...starts].reduce((sum, [, token]) => sum + tokenBytes(token), 0);
  assert(made > OLD.length - 32_768 - 516 - 258, `${made} bytes`);
  for (const at of [...starts.keys()].reverse().filter((_, i) => i % 7 === 0)) {
    assertEquals(copied.at(at + 1), starts.get(at + 1) ?? -1);
    assertEquals(copied.at(at), starts.get(at));
  }
  assertEquals(copied.at(5), -1);
  await copied.prepare(120_000, 130_000);
  const [next] = [...starts].find(([at]) => at >= 120_000)!;
  assertEquals(copied.at(next), starts.get(next));
  await copied.close();
});

async function make(old: readonly Bytes[], layer: Bytes, options: Partial<MakeDeltaOptions> = {}): Promise<MadeDelta> {
  using layers = await OldLayers.open(old.map(layerInput), { openScratch, effort: "normal" });
  const all = { openScratch, effort: "normal", known: new Set(["zlib/1", "tokens/1"]), ...options } as const;
  const made = await makeDelta(layers, layerInput(layer), all);
  if ("reason" in made) throw new Error(made.reason);
  return made;
}

let once: Promise<MadeDelta> | undefined;
/** The delta of the new layer, which is made once. Its scratch space is in memory and stays. */
const makeOnce = () => once ??= make([OLD_LAYER], NEW_LAYER);

/** A model that counts the tokens that it is asked for. */
class CountingModel {
  asked = 0;

  find = (id: string, version: number): DeflateModel | undefined => {
    const model = modelById(id, version);
    return model && { ...model, start: (parameters, window) => this.#count(model.start(parameters, window)) };
  };

  #count(predictor: TokenPredictor): TokenPredictor {
    return {
      headers: predictor.headers,
      get work() {
        return predictor.work;
      },
      reset: () => predictor.reset(),
      slide: (count) => predictor.slide(count),
      token: (at) => {
        this.asked++;
        return predictor.token(at);
      },
      correct: (at, token) => predictor.correct(at, token),
      endsBlock: (block) => predictor.endsBlock(block),
    };
  }
}

async function rebuild({ file }: Pick<MadeDelta, "file">, plain: Uint8Array, old: readonly Bytes[]) {
  const model = new CountingModel();
  const pieces: Bytes[] = [];
  const options = { openScratch, compressed: scratchOf(joinChunks(old)), findModel: model.find };
  for await (const piece of rebuildLayer(file, scratchOf(plain), options)) pieces.push(new Uint8Array(piece));
  return { layer: joinChunks(pieces), asked: model.asked };
}

Deno.test("[99] tokens of what stays the same are copied: the model is asked for the others alone", async () => {
  const [made, old, layer] = [await makeOnce(), OLD_LAYER, NEW_LAYER];
  using without = await make([old], layer, { known: new Set(["zlib/1"]) });
  assertEquals(namesOfModels(made.header), `${namesOfModels(without.header)}+tokens/1`);
  const [copying, predicting] = [await rebuild(made, OLD, [old]), await rebuild(without, OLD, [old])];
  assertEquals(copying.layer, layer);
  assertEquals(predicting.layer, layer);
  assertLess(copying.asked, 0.4 * predicting.asked);
  assertLess(made.file.size, without.file.size + 300);
});

Deno.test("[99] tokens of several bases are copied, and of one whose bytes come twice", async () => {
  const old = [gzip(joinChunks([textOf(8, 9000), KEPT[0]])), gzip(joinChunks([KEPT[1], textOf(9, 9000)]))];
  const layer = gzip(joinChunks([KEPT[1], KEPT[0], textOf(6, 3000), KEPT[1]]));
  using made = await make(old, layer);
  assertEquals(made.header.bases.length, 2);
  const plain = joinChunks([textOf(8, 9000), KEPT[0], KEPT[1], textOf(9, 9000)]);
  const { layer: rebuilt, asked } = await rebuild(made, plain, old);
  assertEquals(rebuilt, layer);
  using without = await make(old, layer, { known: new Set(["zlib/1"]) });
  assertLess(asked, 0.5 * (await rebuild(without, plain, old)).asked);
});

const WITHOUT: readonly [what: string, old: Bytes, layer: Bytes, options: Partial<MakeDeltaOptions>][] = [
  ["little effort", gzip(OLD), gzip(NEW), { effort: "fast" }],
  ["a base that another level has compressed", gzip(OLD, 9), gzip(NEW, 4), {}],
  ["a level without lazy matching", gzip(OLD, 1), gzip(NEW, 1), {}],
  ["short ranges", gzip(textOf(1, MIN_SPAN_BYTES - 1)), gzip(joinChunks([textOf(1, 40_000), textOf(7, 900)])), {}],
];

for (const [what, old, layer, options] of WITHOUT) {
  Deno.test(`[99] no tokens are copied with ${what}`, async () => {
    using made = await make([old], layer, options);
    assertEquals(made.header.copied, undefined);
  });
}

const COUNTS: readonly [right: number, wrong: number, isWorthIt: boolean, isHopeless: boolean][] = [
  [0, 64, true, false],
  [0, 65, false, false],
  [4096, 65, true, false],
  [4096, 66, false, false],
  [100_000, 1023, false, false],
  [100_000, 1024, false, true],
  [4096 * 960, 1024, true, false],
];

for (const [right, wrong, isWorthIt, isHopeless] of COUNTS) {
  Deno.test(`[99] copying tokens of which ${right} are right and ${wrong} wrong is ${isHopeless ? "" : "not "}given up`, () => {
    const input = { runs: [], compressed: scratchOf(new Uint8Array()) };
    const copied = new CopiedTokens({ ...input, givesUp: true });
    Object.assign(copied.counts, { right: right + 1, wrong: wrong - 1 });
    if (isHopeless) assertThrows(() => copied.countWrong(), CorruptError, "too many of them are wrong");
    else copied.countWrong();
    assertEquals([copied.counts, copied.isWorthIt], [{ right, wrong }, isWorthIt]);
    // A site takes a delta as it was made.
    const atSite = new CopiedTokens(input);
    Object.assign(atSite.counts, { right: right + 1, wrong: wrong - 1 });
    atSite.countWrong();
  });
}

// Changes the runs of a right delta. Its sections and sizes are right.
async function changeRuns(made: MadeDelta, change: (run: CopiedRun) => CopiedRun, bases: readonly Bytes[]) {
  const header = await readDeltaHeader(made.file);
  const copied = header.copied!;
  const at = made.file.size - copied.packed;
  const section = await readSection(await made.file.open(at, copied.packed), copied);
  const size = bases.reduce((sum, { length }) => sum + length, 0);
  const runs = [...parseCopiedRuns(section, { plainSize: header.plainSize, size })].map(change);
  const packed = memoryScratch();
  const changed = await packSection(scratchOf(formatCopiedRuns(runs)), packed, { level: 1 });
  const bytes = await new Response(await made.file.open(0, made.file.size)).bytes();
  const sections = bytes.subarray(formatDeltaHeader(header).length, at);
  const delta = joinChunks([formatDeltaHeader({ ...header, copied: changed }), sections, packed.bytes]);
  return fileOf(scratchOf(delta));
}

const LIES: Readonly<Record<string, (run: CopiedRun) => CopiedRun>> = {
  "a bit where no block starts": (run) => ({ ...run, bit: run.bit + 1 }),
  "a bit in the header of the file": (run) => ({ ...run, bit: 3 }),
  "other bytes before the run": (run) => ({ ...run, before: run.before + 1 }),
  "a run that is not copied": (run) => ({ ...run, start: run.start - 20_000 }),
};

/** What a model needs is passed over with the tokens, where it takes a part at a time or depends on the tokens before. */
const OTHER_MODELS: readonly HeaderModel[] = [
  { id: "go1", version: 1, parameters: "" },
  { id: "klauspost5", version: 1, parameters: "050002" },
  { id: "go127", version: 1, parameters: "06" },
  { id: "go6", version: 1, parameters: "02" },
  { id: "zlib", version: 1, parameters: "010800" },
];

for (const model of OTHER_MODELS) {
  Deno.test(`[99] copied tokens with the model ${model.id} ${model.parameters} are refused`, async () => {
    const made = await makeOnce();
    const header = await readDeltaHeader(made.file);
    const bytes = await new Response(await made.file.open(0, made.file.size)).bytes();
    const sections = bytes.subarray(formatDeltaHeader(header).length);
    const file = fileOf(scratchOf(joinChunks([formatDeltaHeader({ ...header, model }), sections])));
    const work = () => rebuild({ file }, OLD, [OLD_LAYER]);
    await assertRejects(work, CorruptError, `the model ${model.id}/1 cannot pass over tokens`);
  });
}

for (const [what, change] of Object.entries(LIES)) {
  Deno.test(`[99] a delta with ${what} does not make the layer`, async () => {
    const file = await changeRuns(await makeOnce(), change, [OLD_LAYER]);
    try {
      assert((await rebuild({ file }, OLD, [OLD_LAYER])).layer.join() !== NEW_LAYER.join());
    } catch (error) {
      assert(error instanceof CorruptError, String(error));
    }
  });
}

Deno.test("[99] a base with many empty blocks is not read to its end", async () => {
  const empty = new Uint8Array(5 * 100_000);
  // Stored blocks without bytes: their length is 0, its complement 0xffff.
  for (let at = 0; at < empty.length; at += 5) empty.set([0, 0, 0, 0xff, 0xff], at);
  let read = 0;
  const compressed = {
    size: empty.length,
    readAt: (position: number, target: Uint8Array) => {
      read += target.length;
      return scratchOf(empty).readAt(position, target);
    },
  };
  const copied = new CopiedTokens({ runs: [{ start: 0, end: 10_000, bit: 0, before: 0 }], compressed });
  await assertRejects(() => copied.prepare(0, 10_000), CorruptError, "a base has too many blocks");
  await copied.close();
  assertLess(read, empty.length);
});

Deno.test("[99] a base with many empty blocks has no copied tokens, and a delta all the same", async () => {
  // A final block is rare: all others are stored blocks without bytes.
  const blocks = new Uint8Array(5 * 20_000);
  for (let at = 0; at < blocks.length; at += 5) blocks.set([0, 0, 0, 0xff, 0xff], at);
  const base = joinChunks([OLD_LAYER.subarray(0, 10), blocks, OLD_LAYER.subarray(10)]);
  using made = await make([base], NEW_LAYER);
  assertEquals(made.header.copied, undefined);
  assertEquals((await rebuild(made, OLD, [base])).layer, NEW_LAYER);
});
