import type { Series } from "./samples.ts";

/** The figures of one kind of work. */
export interface Row {
  /** `P1`; two rows may share one. */
  readonly id: string;
  readonly work: string;
  readonly unit: "s" | "ms" | "MiB" | "MiB/s" | "requests/s" | "upstream bytes / unique bytes";
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
  { of, to, sense, limit, isInverse = false }: {
    readonly of: string;
    readonly to: string;
    readonly sense: Bar["sense"];
    readonly limit: number;
    /** Whether to divide `to` by `of`: for times, this gives how many times faster `of` is. */
    readonly isInverse?: boolean;
  },
): Bar[] {
  const [first, second] = [of, to].map((name) => series.find((each) => each.name === name));
  if (first === undefined || second === undefined) return [];
  const value = isInverse ? second.median / first.median : first.median / second.median;
  return [createBar(isInverse ? `× as fast as ${to}` : `× ${to}`, value, { sense, limit })];
}
