/** One of the programs that do the same work. */
export interface Contender {
  readonly name: string;
  /** Prepares, does the work once, cleans up, and returns the figure in the unit of its row. */
  measure(): Promise<number>;
}

/** All figures of one contender, in the order of the rounds. */
export interface Series {
  readonly name: string;
  readonly samples: readonly number[];
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** Measures contenders in turns. Each round starts with another one, so that the predecessor of each varies. */
export async function measureInTurns(rounds: number, contenders: readonly Contender[]): Promise<Series[]> {
  const samples = contenders.map((): number[] => []);
  for (let round = 0; round < rounds; round++) {
    for (let turn = 0; turn < contenders.length; turn++) {
      const at = (round + turn) % contenders.length;
      samples[at]!.push(await contenders[at]!.measure());
    }
  }
  return contenders.map(({ name }, at) => createSeries(name, samples[at]!));
}

/** Computes median, minimum and maximum of figures. */
export function createSeries(name: string, samples: readonly number[]): Series {
  const sorted = samples.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const median = sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
  return { name, samples, median, min: sorted[0]!, max: sorted.at(-1)! };
}
