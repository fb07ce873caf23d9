import { parseNextLink } from "../http/link.ts";
import type { EndpointRequest } from "./client_context.ts";
import type { EndpointClient } from "./endpoint_client.ts";

/** The next page of a list: the query of its request; `refused` when the link must not be followed. */
export type NextPage = { readonly query: Record<string, string> } | "refused" | undefined;

const MAX_QUERY = 2048;

/**
 * Returns the next page that a `Link` header names. Only its query is used, and the page is requested at the list's own
 * URL: registries behind proxies name another scheme, an internal host or a path without the prefix of the endpoint
 * (fault 73), and no other host is ever contacted (fault 67). A link to another list is refused.
 */
export function findNextPage(headers: Headers, client: EndpointClient, request: EndpointRequest): NextPage {
  const current = client.urlOf(request);
  const next = parseNextLink(headers.get("link"), current);
  if (next === undefined) return undefined;
  const refuse = (reason: string) => {
    client.context.onEvent?.({ type: "refused", host: client.host, reason });
    return "refused" as const;
  };
  if (next === null) return refuse(`the URL of the next page of ${request.resource} cannot be read`);
  if (!isSameList(current.pathname, next.pathname, request.resource) || next.search.length > MAX_QUERY) {
    return refuse(`the next page of ${request.resource} is at ${next.host}${next.pathname}, which is another list`);
  }
  next.searchParams.delete("ns");
  return { query: Object.fromEntries(next.searchParams) };
}

// Whether two paths are the same list of the same repository, of which either may have a prefix.
function isSameList(own: string, other: string, resource: string): boolean {
  const [a, b] = [own, other].map((path) => {
    const from = path.lastIndexOf("/v2/");
    const end = `/${resource}`;
    return from < 0 || !path.endsWith(end) ? undefined : path.slice(from + 3, -end.length);
  });
  return a !== undefined && b !== undefined && (a.endsWith(b) || b.endsWith(a)) && Math.min(a.length, b.length) > 1;
}
