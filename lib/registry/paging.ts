import { RegistryError } from "../oci/error.ts";
import { type ListQuery, splitUrl } from "./route.ts";

/** Which part of a list is asked for. */
export interface Page {
  /** How many entries at most; all when absent. */
  readonly n?: number;
  /** Only entries that come after this one, which need not exist. */
  readonly last?: string;
}

/**
 * Checks what a client asks of a list (distribution specification, "Listing Tags").
 *
 * @throws {RegistryError} `PAGINATION_NUMBER_INVALID` when `n` is not a whole number
 */
export function parsePage({ n, last }: ListQuery): Page {
  if (n !== undefined && !/^[0-9]+$/.test(n)) {
    throw new RegistryError("PAGINATION_NUMBER_INVALID", "Cannot list: n must be a whole number that is not negative");
  }
  return {
    ...(n === undefined ? undefined : { n: Math.min(Number(n), Number.MAX_SAFE_INTEGER) }),
    ...(last === undefined ? undefined : { last }),
  };
}

/**
 * Cuts a page out of a list.
 *
 * @param sorted entries in the order of code units, which is also the order that `last` refers to
 */
export function takePage(sorted: readonly string[], { n, last }: Page): { entries: string[]; isMore: boolean } {
  const rest = last === undefined ? sorted : sorted.filter((entry) => entry > last);
  const entries = rest.slice(0, n);
  // No next page after `n=0`: it would be the same one again.
  return { entries, isMore: n !== 0 && entries.length < rest.length };
}

/**
 * The `Link` header to the page after the one that ends with `last` (RFC 8288). Its URL has no host: the client knows
 * under which name it reaches us, a proxy in between may have changed what we see of it.
 *
 * @param url the request's URL, whose other parameters are kept
 */
export function formatNextLink(url: string, n: number, last: string): string {
  const { path, query } = splitUrl(url);
  const params = new URLSearchParams(query);
  params.set("n", String(n));
  params.set("last", last);
  return `<${path}?${params}>; rel="next"`;
}
