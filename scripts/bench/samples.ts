import type { Measurement } from "./measure.ts";

/** One of the programs that do the same work. */
export interface Contender {
  readonly name: string;
  /** The most rounds that it takes part in, for one that is slow and whose figures hardly differ. */
  readonly maxRounds?: number;
  /** Prepares, does the work once, cleans up, and returns the figures. */
  measure(): Promise<Measurement>;
}

/** All figures of one contender, in the order of the rounds. */
export interface Series {
  readonly name: string;
  readonly samples: readonly number[];
  readonly median: number;
  readonly min: number;
  readonly max: number;
  /** The median of the CPU times, in seconds; absent when they were not measured. */
  readonly cpu?: number;
  /** The largest resident size in all rounds, in MiB; absent when it was not measured. */
  readonly peak?: number;
}

const MIB = 2 ** 20;

/** Measures contenders in turns. Each round starts with another one, so that the predecessor of each varies. */
export async function measureInTurns(rounds: number, contenders: readonly Contender[]): Promise<Series[]> {
  const measured = contenders.map((): Measurement[] => []);
  for (let round = 0; round < rounds; round++) {
    for (let turn = 0; turn < contenders.length; turn++) {
      const at = (round + turn) % contenders.length;
      const contender = contenders[at]!;
      if (round < (contender.maxRounds ?? rounds)) measured[at]!.push(await contender.measure());
    }
  }
  return contenders.map(({ name }, at) => createSeries(name, measured[at]!));
}

/** Computes the medians and limits of figures. */
export function createSeries(name: string, measured: readonly Measurement[]): Series {
  const samples = measured.map(({ figure }) => figure);
  const cpus = measured.flatMap(({ cpu }) => cpu ?? []);
  const peaks = measured.flatMap(({ peak }) => peak ?? []);
  return {
    name,
    samples,
    median: medianOf(samples),
    min: Math.min(...samples),
    max: Math.max(...samples),
    ...(cpus.length === 0 ? {} : { cpu: medianOf(cpus) }),
    ...(peaks.length === 0 ? {} : { peak: Math.max(...peaks) / MIB }),
  };
}

function medianOf(figures: readonly number[]): number {
  const sorted = figures.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
