import { formatSize } from "../../bytes/format_size.ts";
import { cannot, UsageError } from "../../oci/error.ts";

export { formatSize };

const MILLISECONDS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const BYTES: Readonly<Record<string, number>> = {
  b: 1,
  ...unitsOf("k", 1),
  ...unitsOf("m", 2),
  ...unitsOf("g", 3),
  ...unitsOf("t", 4),
};

/**
 * Parses a duration such as `5m`, `90s` or `1h30m` into milliseconds.
 *
 * @param what the name of the flag or field, for the error
 * @throws {UsageError} when the text is not a duration
 */
export function parseDuration(text: string, what: string): number {
  const parts = [...text.matchAll(/([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)/g)];
  if (text === "0") return 0;
  if (parts.length === 0 || parts.map(([whole]) => whole).join("") !== text) {
    throw new UsageError(cannot(`use ${what} ${JSON.stringify(text)}`, "write a duration such as 90s, 5m or 1h30m"));
  }
  return parts.reduce((sum, [, number, unit]) => sum + Number(number) * MILLISECONDS[unit ?? ""]!, 0);
}

/** The spellings of one unit: `G`, `Gi` and `GiB` are powers of 1024, `GB` is a power of 1000. */
function unitsOf(letter: string, power: number): Record<string, number> {
  const binary = 2 ** (10 * power);
  return { [letter]: binary, [`${letter}i`]: binary, [`${letter}ib`]: binary, [`${letter}b`]: 1000 ** power };
}

/**
 * Parses a size such as `500M`, `20Gi`, `20GiB` or `20GB` into bytes. `GB` is a power of 1000, the others of 1024.
 *
 * @param what the name of the flag or field, for the error
 * @param least the smallest size that is possible
 * @throws {UsageError} when the text is not a size, or a smaller one; a number without a unit is none, except 0
 */
export function parseSize(text: string, what: string, least = 0): number {
  const [, number, letters = ""] = /^([0-9]+(?:\.[0-9]+)?)\s*([a-z]*)$/i.exec(text.trim()) ?? [];
  const unit = Number(number) === 0 && letters === "" ? 1 : BYTES[letters.toLowerCase()];
  const bytes = number === undefined || unit === undefined ? undefined : Math.floor(Number(number) * unit);
  if (bytes !== undefined && bytes >= least) return bytes;
  const advice = bytes !== undefined
    ? `the least is ${formatSize(least)}`
    : number === undefined || letters !== ""
    ? "write a size such as 500M, 20GiB or 20GB"
    : `it has no unit; write ${number}MiB, ${number}GiB or ${number}B`;
  throw new UsageError(cannot(`use ${what} ${JSON.stringify(text)}`, advice));
}

/** Formats a number of things: `1 blob`, `2 blobs`. */
export function formatCount(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

/** Formats a time given in milliseconds: `0:07`, `12:30`, `1:02:03`. */
export function formatTime(milliseconds: number): string {
  const seconds = Math.ceil(milliseconds / 1000);
  const pad = (value: number) => String(value).padStart(2, "0");
  const [h, m, s] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  return h > 0 ? `${h}:${pad(m)}:${pad(s)}` : `${m}:${pad(s)}`;
}

/** Formats a time as UTC, to the minute: `2026-11-28 10:35`; `?` when it is not known. */
export function formatDate(date: Date | undefined): string {
  return date === undefined ? "?" : date.toISOString().slice(0, 16).replace("T", " ");
}
