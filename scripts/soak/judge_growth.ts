/** What a server uses at one moment. */
export interface SoakSample {
  /** Resident memory, in bytes. */
  readonly memory: number;
  /** Open files, sockets included. */
  readonly openFiles: number;
  /** Partial and temporary files in its data folder. */
  readonly partialFiles: number;
}

/** What is more than noise. */
export interface GrowthLimits {
  /** Of resident memory, in bytes. */
  readonly memory: number;
  readonly openFiles: number;
  readonly partialFiles: number;
  /** The largest resident memory that is allowed at all, in bytes. */
  readonly peakMemory: number;
}

const WINDOWS = 4;
/** The share of the samples at the start that do not count: caches fill, code is compiled. */
const WARM_UP = 0.25;
/** The fewest samples that can be judged. */
const MIN_SAMPLES = 40;

/**
 * Judges the samples of a run of even load. The samples after the warm-up are divided into four windows. A quantity has
 * grown if its median rises from each window to the next, and by more than the limit in all: a leak does not stop, and what
 * a cache needs does.
 *
 * @returns what has grown, in words; empty if nothing has
 */
export function judgeGrowth(samples: readonly SoakSample[], limits: GrowthLimits): string[] {
  if (samples.length < MIN_SAMPLES) {
    return [`${samples.length} samples are too few to judge: ${MIN_SAMPLES} are needed`];
  }
  const names = ["memory", "openFiles", "partialFiles"] as const;
  const found = names.flatMap((name) => {
    const medians = mediansOf(samples.map((sample) => sample[name]));
    const growth = medians.at(-1)! - medians[0]!;
    const isRising = medians.every((median, i) => i === 0 || median > medians[i - 1]!);
    return isRising && growth > limits[name] ? [`${NAMES[name]} grew by ${growth}: ${medians.join(", ")}`] : [];
  });
  const peak = Math.max(...samples.map(({ memory }) => memory));
  if (peak > limits.peakMemory) found.push(`${peak} bytes of memory were in use, ${limits.peakMemory} are allowed`);
  return found;
}

const NAMES = {
  memory: "the memory",
  openFiles: "the number of open files",
  partialFiles: "the number of partial files",
};

/** Returns the median of each window after the warm-up. */
export function mediansOf(values: readonly number[]): number[] {
  const rest = values.slice(Math.floor(values.length * WARM_UP));
  return Array.from({ length: WINDOWS }, (_, i) => {
    const [start, end] = [i, i + 1].map((edge) => Math.floor(rest.length * edge / WINDOWS));
    const sorted = rest.slice(start, end).sort((a, b) => a - b);
    return sorted[Math.floor(sorted.length / 2)]!;
  });
}
