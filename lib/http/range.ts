import type { ByteRange } from "../bytes/byte_range.ts";

// RFC 9110, 14.1.1: one int-range or suffix-range. The range unit is case-insensitive.
const ONE_RANGE = /^bytes=[ \t]*(?:([0-9]+)-([0-9]*)|-([0-9]+))[ \t]*$/i;

/**
 * Parses a `Range` header. `resolveRange` checks later whether the range is inside the blob.
 *
 * The result is `undefined` unless the header is exactly one valid byte range; the whole blob is then served with 200.
 * An unknown unit must be ignored, and an invalid range set may be (RFC 9110, 14.2). Several ranges are ignored as
 * well: no registry client requests them, and their number would be unbounded.
 */
export function parseRange(header: string | null): ByteRange | undefined {
  if (header === null) return undefined;
  const match = ONE_RANGE.exec(header);
  if (match === null) return undefined;
  const [, first, last, suffix] = match;
  if (first === undefined) return { suffix: toPosition(suffix!) };
  const start = toPosition(first);
  if (last === undefined || last === "") return { start };
  const end = toPosition(last);
  // Such a range is invalid, not unsatisfiable (RFC 9110, 14.1.1).
  return end < start ? undefined : { start, end };
}

// A number too large to be represented exactly is past the end of every blob.
function toPosition(digits: string): number {
  return Math.min(Number(digits), Number.MAX_SAFE_INTEGER);
}

/** A parsed `Content-Range` header (RFC 9110, 14.4). */
interface ContentRange {
  /** Position of the first byte. */
  readonly start: number;
  /** Position of the last byte. */
  readonly last: number;
  /** Size of the complete content in bytes; `undefined` when the server does not state it. */
  readonly size: number | undefined;
}

const CONTENT_RANGE = /^bytes\s+(\d{1,15})-(\d{1,15})\/(\d{1,15}|\*)$/i;

/** Parses the `Content-Range` of a 206 response; `undefined` when it is missing, malformed or inconsistent. */
export function parseContentRange(header: string | null): ContentRange | undefined {
  const match = CONTENT_RANGE.exec(header?.trim() ?? "");
  if (match === null) return undefined;
  const [start, last] = [Number(match[1]), Number(match[2])];
  const size = match[3] === "*" ? undefined : Number(match[3]);
  if (start > last || (size !== undefined && last >= size)) return undefined;
  return { start, last, size };
}
