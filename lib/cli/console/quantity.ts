import { UsageError } from "./usage_error.ts";

const MILLISECONDS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const BYTES: Readonly<Record<string, number>> = {
  "": 1,
  b: 1,
  k: 2 ** 10,
  kb: 1000,
  kib: 2 ** 10,
  m: 2 ** 20,
  mb: 1000 ** 2,
  mib: 2 ** 20,
  g: 2 ** 30,
  gb: 1000 ** 3,
  gib: 2 ** 30,
  t: 2 ** 40,
  tb: 1000 ** 4,
  tib: 2 ** 40,
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
    throw new UsageError(`Cannot use ${what} ${JSON.stringify(text)}: write a duration such as 90s, 5m or 1h30m`);
  }
  return parts.reduce((sum, [, number, unit]) => sum + Number(number) * MILLISECONDS[unit ?? ""]!, 0);
}

/**
 * Parses a size such as `500M`, `20GiB` or `1048576` into bytes. `K` and `KiB` mean powers of 1024, `KB` powers of 1000.
 *
 * @param what the name of the flag or field, for the error
 * @throws {UsageError} when the text is not a size
 */
export function parseSize(text: string, what: string): number {
  const match = /^([0-9]+(?:\.[0-9]+)?)\s*([a-z]*)$/i.exec(text.trim());
  const unit = BYTES[match?.[2]?.toLowerCase() ?? "none"];
  if (match === null || unit === undefined) {
    throw new UsageError(`Cannot use ${what} ${JSON.stringify(text)}: write a size such as 500M, 20GiB or 1048576`);
  }
  return Math.floor(Number(match[1]) * unit);
}

/** Formats a number of bytes: `512 B`, `1.5 MiB`, `20 GiB`. */
export function formatSize(bytes: number): string {
  let value = bytes;
  for (const unit of ["B", "KiB", "MiB", "GiB"]) {
    if (value < 1024) return `${formatNumber(value)} ${unit}`;
    value /= 1024;
  }
  return `${formatNumber(value)} TiB`;
}

/** Formats a time given in milliseconds: `0:07`, `12:30`, `1:02:03`. */
export function formatTime(milliseconds: number): string {
  const seconds = Math.ceil(milliseconds / 1000);
  const pad = (value: number) => String(value).padStart(2, "0");
  const [h, m, s] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  return h > 0 ? `${h}:${pad(m)}:${pad(s)}` : `${m}:${pad(s)}`;
}

function formatNumber(value: number): string {
  return value >= 100 || Number.isInteger(value) ? String(Math.round(value)) : value.toFixed(1);
}
