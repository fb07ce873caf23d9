import type { Series } from "./samples.ts";

/** The figures of one kind of work. */
export interface Row {
  /** `P1`; several rows may share one. */
  readonly id: string;
  readonly work: string;
  readonly unit: "s" | "ms" | "MiB" | "MiB/s" | "requests/s" | "upstream bytes / unique bytes" | "% of the layer";
  /** What the CPU times are for, when it is not the work as a whole: `10,000 requests`. */
  readonly cpuFor?: string;
  /** The contenders' figures, crpe first. */
  readonly series: readonly Series[];
  readonly bars: readonly Bar[];
  /** Notes that are needed to interpret the figures. */
  readonly notes: readonly string[];
}

/** A target, and whether it was met. */
export interface Bar {
  /** The meaning of the value: `× distribution`. */
  readonly what: string;
  readonly value: number;
  readonly sense: "at least" | "at most";
  readonly limit: number;
  readonly isMet: boolean;
}

/** Compares a value with its limit. */
export function createBar(what: string, value: number, { sense, limit }: Pick<Bar, "sense" | "limit">): Bar {
  return { what, value, sense, limit, isMet: sense === "at least" ? value >= limit : value <= limit };
}

/** Compares the quotient of two medians with a limit; no bar when one of the series was left out. */
export function createRatioBars(
  series: readonly Series[],
  { of, to, sense, limit, figure = "median", isInverse = false }: {
    readonly of: string;
    readonly to: string;
    readonly sense: Bar["sense"];
    readonly limit: number;
    /** What is compared: by default the medians of the row's figure, else CPU times or memory. */
    readonly figure?: "median" | "cpu" | "peak";
    /** Whether to divide `to` by `of`: for times, this gives how many times faster `of` is. */
    readonly isInverse?: boolean;
  },
): Bar[] {
  const [first, second] = [of, to].map((name) => series.find((each) => each.name === name)?.[figure]);
  if (first === undefined || second === undefined) return [];
  const value = isInverse ? second / first : first / second;
  const what = { median: "", cpu: "CPU s ", peak: "memory " }[figure];
  return [createBar(`${what}${isInverse ? `× as fast as ${to}` : `× ${to}`}`, value, { sense, limit })];
}

/** Compares the largest memory of all of crpe's series with a limit in MiB; no bar when it was not measured. */
export function createMemoryBars(series: readonly Series[], limit: number): Bar[] {
  const peaks = series.filter(({ name }) => name.startsWith("crpe")).flatMap(({ peak }) => peak ?? []);
  return peaks.length === 0 ? [] : [createBar("MiB of memory", Math.max(...peaks), { sense: "at most", limit })];
}
