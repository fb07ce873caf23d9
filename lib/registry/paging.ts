import { RegistryError } from "../oci/error.ts";
import { type ListQuery, splitUrl } from "./route.ts";

/** The requested part of a list. */
export interface Page {
  /** Maximum number of entries. Default: all. */
  readonly n?: number;
  /** The entry after which the page begins. It need not exist. */
  readonly last?: string;
}

/**
 * Parses the paging parameters of a request (distribution specification, "Listing Tags").
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
 * Returns one page of a list.
 *
 * @param sorted the entries sorted by code unit, which is also the order that `last` refers to
 */
export function takePage(sorted: readonly string[], { n, last }: Page): { entries: string[]; isMore: boolean } {
  const rest = last === undefined ? sorted : sorted.filter((entry) => entry > last);
  const entries = rest.slice(0, n);
  // There is no next page after `n=0`, because it would be the same page again.
  return { entries, isMore: n !== 0 && entries.length < rest.length };
}

/**
 * Formats the `Link` header (RFC 8288) to the page after the one that ends with `last`. Its URL has no host: only the
 * client knows the name under which it reaches the registry, because a proxy may have changed the Host.
 *
 * @param url the URL of the request, whose other parameters are kept
 */
export function formatNextLink(url: string, n: number, last: string): string {
  const { path, query } = splitUrl(url);
  const params = new URLSearchParams(query);
  params.set("n", String(n));
  params.set("last", last);
  return `<${path}?${params}>; rel="next"`;
}
