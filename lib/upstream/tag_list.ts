import { parseNextLink } from "../http/link.ts";
import { CorruptError, RegistryError } from "../oci/error.ts";
import { isJsonObject, parseJson } from "../oci/json.ts";
import { isTag } from "../oci/reference.ts";
import type { EndpointClient, EndpointRequest } from "./endpoint_client.ts";

const PAGE_SIZE = "1000";
const MAX_PAGES = 200;
const MAX_PAGE_BYTES = 4 * 1024 * 1024;

/**
 * Returns all tags of a repository from all pages, sorted by code unit; `undefined` when the registry does not have
 * the repository.
 *
 * @throws {RegistryError} `BAD_GATEWAY` when a page cannot be parsed, or when there are more than 200 pages
 */
export async function fetchTags(client: EndpointClient, repo: string, path: string): Promise<string[] | undefined> {
  const what = `the tags of ${repo}`;
  const tags = new Set<string>();
  let query: Record<string, string> | undefined = { n: PAGE_SIZE };
  for (let pages = 0; query !== undefined; pages++) {
    if (pages >= MAX_PAGES) {
      throw new RegistryError("BAD_GATEWAY", `Cannot list ${what} at ${client.host}: more than ${MAX_PAGES} pages`);
    }
    const request: EndpointRequest = { path, resource: "tags/list", query, action: `list ${what}` };
    const answer = await client.read(request, { maxBytes: MAX_PAGE_BYTES, what });
    if (answer === undefined) return pages === 0 ? undefined : [...tags].sort();
    const json = parsePage(answer.bytes, `${what} from ${client.host}`);
    const before = tags.size;
    // Some registries send `null` for an empty list.
    for (const tag of isJsonObject(json) && Array.isArray(json.tags) ? json.tags : []) {
      if (typeof tag === "string" && isTag(tag)) tags.add(tag);
    }
    // A page without new tags ends the list, because its link may lead to the same page.
    query = tags.size === before ? undefined : nextQuery(answer.headers, client, request);
  }
  return [...tags].sort();
}

function parsePage(bytes: Uint8Array, what: string): unknown {
  try {
    return parseJson(bytes, what);
  } catch (error) {
    if (!(error instanceof CorruptError)) throw error;
    throw new RegistryError("BAD_GATEWAY", error.message, { cause: error });
  }
}

function nextQuery(
  headers: Headers,
  client: EndpointClient,
  request: EndpointRequest,
): Record<string, string> | undefined {
  const current = client.urlOf(request);
  const next = parseNextLink(headers.get("link"), current);
  if (next === undefined) return undefined;
  if (next.origin !== current.origin || next.pathname !== current.pathname) {
    const reason = `the next page of the tag list is at ${next.host}${next.pathname}, not at the list's own URL`;
    client.context.onEvent?.({ type: "refused", host: client.host, reason });
    return undefined;
  }
  return Object.fromEntries(next.searchParams);
}
