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
