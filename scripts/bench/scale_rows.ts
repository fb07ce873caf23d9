import type { Bench } from "./bench.ts";
import { createContent } from "./content.ts";
import { type Measurement, measurePrograms } from "./measure.ts";
import { importTo, type PackableContent, packTo } from "./pack_import.ts";
import { removeAll } from "./program.ts";
import { createMemoryBars, createRatioBars, type Row } from "./row.ts";
import { type Contender, measureInTurns } from "./samples.ts";

const MIB = 2 ** 20;
// The large layer is written twice in each round.
const ROUNDS = 2;
const MEMORY_MIB = 96;

/** P12: packs and imports a small and a large layer, to show that neither pace nor memory depends on the size. */
export async function measureScale(bench: Bench): Promise<Row[]> {
  const { options: { rounds, size, large } } = bench;
  const folder = bench.newPath("scale");
  const content = await createContent(folder, large);
  const kinds: readonly Kind[] = [{ content: bench.content, size }, { content, size: large }].map((kind) => ({
    ...kind,
    name: `crpe, ${Math.round(kind.size / MIB)} MiB`,
    bundle: bench.newPath("packed"),
  }));
  const rows: Row[] = [];
  // Each import reads what was packed last.
  for (const [work, measure] of [["pack from the store", measurePacking], ["import", measureImporting]] as const) {
    const contenders = kinds.map((kind): Contender => ({
      name: kind.name,
      measure: async () => {
        const { figure, cpu, peak } = await measure(bench, kind);
        return { figure: kind.size / MIB / figure, cpu: cpu * size / kind.size, peak };
      },
    }));
    const series = await measureInTurns(Math.min(rounds, ROUNDS), contenders);
    const [of, to] = [kinds[1]!.name, kinds[0]!.name];
    rows.push({
      id: "P12",
      work: `${work}, synced`,
      unit: "MiB/s",
      cpuFor: `${Math.round(size / MIB)} MiB`,
      series,
      bars: [
        ...createRatioBars(series, { of, to, sense: "at least", limit: 0.9 }),
        ...createRatioBars(series, { of, to, sense: "at most", limit: 1.1, figure: "cpu" }),
        ...createRatioBars(series, { of, to, sense: "at most", limit: 1.1, figure: "peak" }),
        ...createMemoryBars(series, MEMORY_MIB),
      ],
      notes: [
        "P5 and P6 have the peers",
        ...(large === 2 ** 33 ? [] : ["the bars are for a large layer of 8 GiB"]),
      ],
    });
  }
  await removeAll(folder, ...kinds.map(({ bundle }) => bundle));
  return rows;
}

/** A layer, and where it is packed. */
interface Kind {
  readonly name: string;
  readonly content: PackableContent;
  readonly size: number;
  readonly bundle: string;
}

async function measurePacking(bench: Bench, { content, bundle }: Kind): Promise<Required<Measurement>> {
  await removeAll(bundle);
  return await measurePrograms(() => packTo(bench, content, bundle));
}

async function measureImporting(bench: Bench, { bundle }: Kind): Promise<Required<Measurement>> {
  const folder = bench.newPath("imported");
  try {
    return await measurePrograms(() => importTo(bench, bundle, folder));
  } finally {
    await removeAll(folder);
  }
}
