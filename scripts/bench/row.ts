import type { Series } from "./samples.ts";

/** What was measured of one piece of work. */
export interface Row {
  /** `P1`; two rows may share one. */
  readonly id: string;
  readonly work: string;
  readonly unit: "s" | "ms" | "MiB" | "MiB/s" | "requests/s" | "upstream bytes / unique bytes";
  /** crpe first. */
  readonly series: readonly Series[];
  readonly bars: readonly Bar[];
  /** What has to be known to read the figures. */
  readonly notes: readonly string[];
}

/** What was hoped for, and whether it came true. */
export interface Bar {
  /** What the value is: `× distribution`. */
  readonly what: string;
  readonly value: number;
  readonly sense: "at least" | "at most";
  readonly limit: number;
  readonly isMet: boolean;
}

/** Holds a value against its limit. */
export function createBar(what: string, value: number, sense: Bar["sense"], limit: number): Bar {
  return { what, value, sense, limit, isMet: sense === "at least" ? value >= limit : value <= limit };
}

/** Holds the quotient of two medians against a limit; no bar where one of them was left out. */
export function createRatioBars(
  series: readonly Series[],
  { of, to, sense, limit, isInverse = false }: {
    readonly of: string;
    readonly to: string;
    readonly sense: Bar["sense"];
    readonly limit: number;
    /** Whether it is `to` that is divided: how many times faster, where the figures are times. */
    readonly isInverse?: boolean;
  },
): Bar[] {
  const [ours, theirs] = [of, to].map((name) => series.find((each) => each.name === name));
  if (ours === undefined || theirs === undefined) return [];
  const value = isInverse ? theirs.median / ours.median : ours.median / theirs.median;
  return [createBar(isInverse ? `× as fast as ${to}` : `× ${to}`, value, sense, limit)];
}
