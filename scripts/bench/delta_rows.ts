import type { DeltaSummary } from "../delta/delta_files.ts";
import type { Bench } from "./bench.ts";
import { type Measurement, measurePrograms } from "./measure.ts";
import { removeAll, runProgram } from "./program.ts";
import { createBar, type Row } from "./row.ts";
import { createSeries, type Series } from "./samples.ts";

/** Two layers, as `scripts/delta/pairs` makes them. */
interface LayerPair {
  readonly name: string;
  /** What compressed them. */
  readonly compressor: string;
  /** The paths of both, compressed and plain. */
  readonly oldLayer: string;
  readonly newLayer: string;
  readonly oldTar: string;
  readonly newTar: string;
}

const MIB = 2 ** 20;
const SCRIPT = new URL("../delta/delta_files.ts", import.meta.url).pathname;
const MAKING = "crpe, making the delta";
const APPLYING = "crpe, applying it";
/** Larger pairs are measured when only some rows are, because a pair of 100 MiB takes minutes. */
const SMALL_BYTES = 16 * MIB;
/** bsdiff takes minutes above, and 17 times the memory. */
const BSDIFF_BYTES = 32 * MIB;
/** A delta may have this many per cent of its layer more than 1.1 times the patch of the plain tars. */
const ALLOWANCE = 0.5;
const MEGABYTES_PER_SECOND = 10;

/** What makes patches of plain tars: the programs, and their arguments for an old tar, a new one and the patch. */
const PATCHES: Readonly<Record<string, (pair: LayerPair, patch: string) => readonly string[]>> = {
  zstd: ({ oldTar, newTar }, patch) => ["-q", "-f", "-19", "--long=27", `--patch-from=${oldTar}`, newTar, "-o", patch],
  // The window is as large as any of the tars, and the patch is compressed.
  xdelta3: (
    { oldTar, newTar },
    patch,
  ) => ["-e", "-f", "-9", "-S", "lzma", "-B", `${2 ** 29}`, "-s", oldTar, newTar, patch],
  bsdiff: ({ oldTar, newTar }, patch) => [oldTar, newTar, patch],
};

/** P13: makes and applies deltas of pairs of layers. */
export async function measureDeltas(bench: Bench): Promise<Row[]> {
  const pairs = await readPairs(bench);
  const rows: Row[] = [];
  for (const pair of pairs) rows.push(await measurePair(bench, pair));
  return rows;
}

async function readPairs(bench: Bench): Promise<LayerPair[]> {
  const { pairs, isPartial } = bench.options;
  const lines = pairs === undefined ? [] : (await Deno.readTextFile(pairs)).split("\n").filter((line) => line !== "");
  if (lines.length === 0) bench.missing.add("pairs of layers");
  const chosen: LayerPair[] = [];
  for (const line of lines) {
    const [name, compressor, oldLayer, newLayer, oldTar, newTar] = line.split("\t");
    if (newTar === undefined) throw new Error(`Cannot use ${pairs}: write the output of scripts/delta/pairs into it`);
    const pair = { name, compressor, oldLayer, newLayer, oldTar, newTar } as LayerPair;
    if (isPartial || (await Deno.stat(newTar)).size <= SMALL_BYTES) chosen.push(pair);
    else bench.missing.add(`pair of layers ${name} (--only=P13)`);
  }
  return chosen;
}

async function measurePair(bench: Bench, pair: LayerPair): Promise<Row> {
  const [{ size }, plain] = [await Deno.stat(pair.newLayer), await Deno.stat(pair.newTar)];
  const delta = bench.newPath("delta");
  const percent = async (file: string) => (await Deno.stat(file)).size / size * 100;
  const making = await makeDelta(pair, delta);
  const series: Series[] = [];
  const notes: string[] = [];
  const bars = [];
  if (typeof making === "string") notes.push(making);
  else {
    series.push(createSeries(MAKING, [{ ...making.measured, figure: await percent(delta) }]));
    notes.push(describeDelta(making.summary, (await Deno.stat(delta)).size));
    const applying = await applyDelta(bench, pair, delta);
    series.push(createSeries(APPLYING, [{ ...applying, figure: await percent(delta) }]));
    const pace = size / 1e6 / applying.cpu;
    bars.push(createBar("MB of the layer a CPU second when applying", pace, {
      sense: "at least",
      limit: MEGABYTES_PER_SECOND,
    }));
  }
  const share = series[0]?.median ?? 100;
  for (const [program, argumentsOf] of Object.entries(PATCHES)) {
    if (!bench.has(program)) continue;
    if (program === "bsdiff" && plain.size > BSDIFF_BYTES) {
      notes.push(`bsdiff is left out above ${BSDIFF_BYTES / MIB} MiB`);
      continue;
    }
    const patch = bench.newPath("patch");
    const measured = await measurePrograms(() => runProgram(program, ...argumentsOf(pair, patch)));
    const figure = await percent(patch);
    series.push(createSeries(`${program}, plain tars`, [{ ...measured, figure }]));
    const limit = 1.1 * figure + ALLOWANCE;
    bars.push(createBar(`% of the layer, beside ${program}`, share, { sense: "at most", limit }));
    await removeAll(patch);
  }
  await removeAll(delta);
  return {
    id: "P13",
    work: `a delta of ${pair.name}, ${megabytes(size)} MB (${pair.compressor}), ${megabytes(plain.size)} MB plain`,
    unit: "% of the layer",
    series,
    bars,
    notes,
  };
}

/** @returns why there is none, or the figures of making it */
async function makeDelta(
  { oldLayer, newLayer }: LayerPair,
  delta: string,
): Promise<string | { readonly measured: Required<Measurement>; readonly summary: DeltaSummary }> {
  let output = "";
  try {
    const measured = await measurePrograms(async () => {
      output = await runProgram(Deno.execPath(), "run", "-P", SCRIPT, "make", oldLayer, newLayer, delta);
    });
    return { measured, summary: JSON.parse(output) as DeltaSummary };
  } catch (error) {
    const reason = /Cannot make a delta of [^:]*: (.*)/.exec(String(error))?.[1];
    if (reason === undefined) throw error;
    return `no delta: ${reason}`;
  }
}

/** Rebuilds the new layer from the old one, and compares it with what was published. */
async function applyDelta(
  bench: Bench,
  { oldLayer, newLayer }: LayerPair,
  delta: string,
): Promise<Required<Measurement>> {
  const rebuilt = bench.newPath("rebuilt");
  const measured = await measurePrograms(() =>
    runProgram(Deno.execPath(), "run", "-P", SCRIPT, "apply", oldLayer, delta, rebuilt)
  );
  await runProgram("cmp", rebuilt, newLayer);
  await removeAll(rebuilt);
  return measured;
}

function describeDelta({ model, sections }: DeltaSummary, size: number): string {
  const corrections = ["tokens", "blocks", "headers", "members"].reduce((sum, name) => sum + (sections[name] ?? 0), 0);
  return `${size} bytes, model ${model}, of which ${corrections} bytes are corrections; rebuilt bit for bit`;
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(1);
}
