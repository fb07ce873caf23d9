import type { ByteRange } from "../bytes/byte_range.ts";

// RFC 9110, 14.1.1: one int-range or suffix-range. The name of a unit is without regard to case.
const ONE_RANGE = /^bytes=[ \t]*(?:([0-9]+)-([0-9]*)|-([0-9]+))[ \t]*$/i;

/**
 * Reads a `Range` header. Whether the range lies inside the blob is for `resolveRange` to say.
 *
 * Everything but one valid range of bytes gives `undefined`, that is, the whole blob with 200: another unit has to be
 * ignored, an invalid set may be (RFC 9110, 14.2), and several ranges at once are what no client of a registry asks
 * for, while their number is the client's choice.
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
  // "invalid", not "unsatisfiable": RFC 9110, 14.1.1.
  return end < start ? undefined : { start, end };
}

// More digits than a number holds exactly stand for what is past the end of any blob.
function toPosition(digits: string): number {
  return Math.min(Number(digits), Number.MAX_SAFE_INTEGER);
}

/** What a `Content-Range` says (RFC 9110, 14.4). */
export interface ContentRange {
  readonly start: number;
  /** Position of the last byte. */
  readonly last: number;
  /** Size of the whole, if the server says it. */
  readonly size: number | undefined;
}

const CONTENT_RANGE = /^bytes\s+(\d{1,15})-(\d{1,15})\/(\d{1,15}|\*)$/i;

/** Reads a `Content-Range` of a 206; `undefined` for what is none, or makes no sense. */
export function parseContentRange(header: string | null): ContentRange | undefined {
  const match = CONTENT_RANGE.exec(header?.trim() ?? "");
  if (match === null) return undefined;
  const [start, last] = [Number(match[1]), Number(match[2])];
  const size = match[3] === "*" ? undefined : Number(match[3]);
  if (start > last || (size !== undefined && last >= size)) return undefined;
  return { start, last, size };
}
