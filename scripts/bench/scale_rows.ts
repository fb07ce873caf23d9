import type { Bench } from "./bench.ts";
import { createContent } from "./content.ts";
import { type Measurement, measurePrograms } from "./measure.ts";
import { importTo, type PackableContent, packTo } from "./pack_import.ts";
import { removeAll } from "./program.ts";
import { createMemoryBars, createRatioBars, type Row } from "./row.ts";
import { type Contender, measureInTurns } from "./samples.ts";

const MIB = 2 ** 20;
// The large layer is written and read several times in each round.
const ROUNDS = 2;
const MEMORY_MIB = 96;

/** P12: packs and imports a small and a large layer, to show that neither pace nor memory depends on the size. */
export async function measureScale(bench: Bench): Promise<Row[]> {
  const { options: { rounds, size, large } } = bench;
  const folder = bench.newPath("scale");
  const content = await createContent(folder, large);
  const kinds = [{ content: bench.content, size }, { content, size: large }]
    .map((kind) => ({ ...kind, name: `crpe, ${Math.round(kind.size / MIB)} MiB` }));
  const rows: Row[] = [];
  for (const work of ["pack", "import"] as const) {
    const run = work === "pack" ? measurePacking : measureImporting;
    const contenders = kinds.map(({ content, size, name }): Contender => ({
      name,
      measure: async () => {
        const measured = await run(bench, content);
        return { ...measured, figure: size / MIB / measured.figure };
      },
    }));
    const series = await measureInTurns(Math.min(rounds, ROUNDS), contenders);
    const [of, to] = [kinds[1]!.name, kinds[0]!.name];
    rows.push({
      id: "P12",
      work: work === "pack" ? "pack from the store, synced" : "import into an empty store, synced",
      unit: "MiB/s",
      series,
      bars: [
        ...createRatioBars(series, { of, to, sense: "at least", limit: 0.9 }),
        ...createRatioBars(series, { of, to, sense: "at most", limit: 1.1, figure: "peak" }),
        ...createMemoryBars(series, MEMORY_MIB),
      ],
      notes: large === 2 ** 33 ? [] : ["the bars are for a large layer of 8 GiB"],
    });
  }
  await removeAll(folder);
  return rows;
}

async function measurePacking(bench: Bench, content: PackableContent): Promise<Measurement> {
  const bundle = bench.newPath("packed");
  try {
    return await measurePrograms(() => packTo(bench, content, bundle));
  } finally {
    await removeAll(bundle);
  }
}

async function measureImporting(bench: Bench, content: PackableContent): Promise<Measurement> {
  const [bundle, folder] = [bench.newPath("bundle"), bench.newPath("imported")];
  try {
    await packTo(bench, content, bundle);
    return await measurePrograms(() => importTo(bench, bundle, folder));
  } finally {
    await removeAll(bundle, folder);
  }
}
