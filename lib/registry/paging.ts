import type { ListOptions } from "../content/source.ts";
import { cannot, RegistryError } from "../oci/error.ts";
import { type ListQuery, splitUrl } from "./route.ts";

/**
 * Parses the paging parameters of a request (distribution specification, "Listing Tags").
 *
 * @throws {RegistryError} `PAGINATION_NUMBER_INVALID` when `n` is not a whole number
 */
export function parsePage({ n, last }: ListQuery): ListOptions {
  if (n !== undefined && !/^[0-9]+$/.test(n)) {
    throw new RegistryError(
      "PAGINATION_NUMBER_INVALID",
      cannot("list", "n must be a whole number that is not negative"),
    );
  }
  return {
    ...(n === undefined ? undefined : { limit: Math.min(Number(n), Number.MAX_SAFE_INTEGER) }),
    ...(last === undefined ? undefined : { after: last }),
  };
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
