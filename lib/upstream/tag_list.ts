import type { ListOptions, TagPage } from "../content/source.ts";
import { takePage } from "../content/take_page.ts";
import { cannot, CorruptError, RegistryError } from "../oci/error.ts";
import { isJsonObject, parseJson } from "../oci/json.ts";
import { isTag } from "../oci/reference.ts";
import type { EndpointRequest } from "./client_context.ts";
import type { EndpointClient } from "./endpoint_client.ts";
import { findNextPage, type NextPage } from "./next_page.ts";

const PAGE_SIZE = 1000;
const MAX_PAGES = 200;
const MAX_TAGS = 200_000;
const MAX_PAGE_BYTES = 4 * 1024 * 1024;
// Pages without a new tag after which a list is taken for endless.
const MAX_STALLED_PAGES = 3;
// A registry may refuse a page that is larger than its own limit with one of these.
const LIMIT_REFUSED = [400, 422];
// How long a list that cannot be paged is kept, so that its pages do not cost a walk each; in milliseconds.
const LIST_LIFETIME = 30_000;
// What a kept list costs besides its tags, in tags: clients choose the names of repositories.
const COST_OF_LIST = 100;

/** Identifies a repository. */
export interface RepositoryName {
  /** The repository name that the store uses, for error messages. */
  readonly repo: string;
  /** The path of the repository on its registry. */
  readonly path: string;
}

/**
 * Lists the tags of repositories at endpoints. A page costs about one request if the registry pages as the distribution
 * specification defines. A list in another order, or of a registry that ignores `last`, is read whole and kept for half
 * a minute.
 */
export class TagLister {
  readonly #now: () => number;
  readonly #whole = new Map<string, TagPage & { readonly until: number }>();

  /** @param now monotonic clock, in milliseconds */
  constructor(now: () => number) {
    this.#now = now;
  }

  /**
   * Lists tags; `undefined` when the registry does not have the repository. The result is partial when the registry
   * names a next page that must not be followed, and when its list does not end.
   *
   * @throws {RegistryError} `BAD_GATEWAY` when a page cannot be parsed
   */
  async list(client: EndpointClient, name: RepositoryName, query: ListOptions = {}): Promise<TagPage | undefined> {
    if (query.after === undefined && query.limit === undefined) return await readWhole(client, name);
    const key = `${client.urlOf({ path: name.path, resource: "tags/list" })}`;
    const held = this.#whole.get(key);
    if (held !== undefined && this.#now() < held.until) return select(held, query);
    this.#whole.delete(key);
    const page = await readPage(client, name, query);
    if (page !== "unordered") return page;
    const whole = await readWhole(client, name);
    if (whole === undefined) return undefined;
    this.#keep(key, whole);
    return select(whole, query);
  }

  #keep(key: string, whole: TagPage): void {
    const now = this.#now();
    this.#whole.set(key, { ...whole, until: now + LIST_LIFETIME });
    let total = 0;
    for (const [each, { tags, until }] of [...this.#whole].reverse()) {
      total += COST_OF_LIST + tags.length;
      if ((total > MAX_TAGS || until <= now) && each !== key) this.#whole.delete(each);
    }
  }
}

function select({ tags, isPartial }: TagPage, query: ListOptions): TagPage {
  const { entries, isMore } = takePage(tags, query);
  return { tags: entries, isMore, ...(isPartial ? { isPartial } : {}) };
}

/** Reads one page; `unordered` when the registry does not list by code unit, or not from `after` on. */
async function readPage(
  client: EndpointClient,
  name: RepositoryName,
  { after, limit = Infinity }: ListOptions,
): Promise<TagPage | "unordered" | undefined> {
  // An empty page tells whether the repository exists, too.
  const wanted = Math.max(1, limit);
  const tags: string[] = [];
  const visited = new Set<string>();
  let request: Record<string, string> = {
    n: String(Math.min(wanted, PAGE_SIZE)),
    ...(after === undefined ? {} : { last: after }),
  };
  let last = after ?? "";
  for (let pages = 1, stalled = 0;; pages++) {
    const received = await requestPage(client, name, request);
    if (received === undefined) {
      return pages === 1 ? undefined : { tags: tags.slice(0, limit), isMore: false, isPartial: true };
    }
    for (const tag of received.tags) {
      if (tag <= last) return "unordered";
      tags.push(last = tag);
    }
    const { next } = received;
    stalled = received.tags.length === 0 ? stalled + 1 : 0;
    const isEnough = tags.length >= wanted;
    const isBroken = next === "refused" || next !== undefined && !isEnough &&
        (!isNew(visited, next.query) || pages >= MAX_PAGES || tags.length >= MAX_TAGS || stalled >= MAX_STALLED_PAGES);
    if (next === undefined || isBroken || isEnough) {
      const isMore = tags.length > limit || (isEnough && next !== undefined && next !== "refused");
      return { tags: tags.slice(0, limit), isMore, ...(isBroken ? { isPartial: true } : {}) };
    }
    request = next.query;
  }
}

/** Reads all pages. The tags may be in any order. */
async function readWhole(client: EndpointClient, name: RepositoryName): Promise<TagPage | undefined> {
  const tags = new Set<string>();
  const visited = new Set<string>();
  let request: Record<string, string> = { n: String(PAGE_SIZE) };
  isNew(visited, request);
  const end = (isPartial: boolean) => ({
    tags: [...tags].sort(),
    isMore: false,
    ...(isPartial ? { isPartial } : {}),
  });
  for (let pages = 1, stalled = 0;; pages++) {
    const received = await requestPage(client, name, request);
    if (received === undefined) return pages === 1 ? undefined : end(true);
    const before = tags.size;
    for (const tag of received.tags) {
      if (tags.size < MAX_TAGS) tags.add(tag);
    }
    stalled = tags.size === before ? stalled + 1 : 0;
    const { next } = received;
    if (next === undefined) return end(tags.size >= MAX_TAGS);
    const isEndless = pages >= MAX_PAGES || tags.size >= MAX_TAGS || stalled >= MAX_STALLED_PAGES;
    if (next === "refused" || isEndless || !isNew(visited, next.query)) return end(true);
    request = next.query;
  }
}

function isNew(visited: Set<string>, query: Record<string, string>): boolean {
  const key = new URLSearchParams(query).toString();
  const isKnown = visited.has(key);
  visited.add(key);
  return !isKnown;
}

async function requestPage(
  client: EndpointClient,
  { repo, path }: RepositoryName,
  query: Record<string, string>,
): Promise<{ readonly tags: readonly string[]; readonly next: NextPage } | undefined> {
  const what = `the tags of ${repo}`;
  const request: EndpointRequest = { path, resource: "tags/list", query, action: `list ${what}` };
  const { n, ...unlimited } = query;
  const accept = n === undefined ? [] : LIMIT_REFUSED;
  const answer = await client.read({ ...request, accept }, { maxBytes: MAX_PAGE_BYTES, what });
  if (answer === undefined) return undefined;
  if (!answer.ok) return await requestPage(client, { repo, path }, unlimited);
  const tags = readTags(answer.bytes, `${what} from ${client.host}`);
  return { tags, next: findNextPage(answer.headers, client, request) };
}

function readTags(bytes: Uint8Array, what: string): string[] {
  const json = parsePage(bytes, what);
  const { name, tags = typeof name === "string" ? null : undefined } = isJsonObject(json) ? json : {};
  // Some registries send `null` for an empty list, or leave it out.
  if (tags === null) return [];
  if (!Array.isArray(tags)) {
    throw new RegistryError("BAD_GATEWAY", cannot(`read ${what}`, "the answer is not a list of tags"));
  }
  return tags.filter((tag): tag is string => typeof tag === "string" && isTag(tag));
}

function parsePage(bytes: Uint8Array, what: string): unknown {
  try {
    return parseJson(bytes, what);
  } catch (error) {
    if (!(error instanceof CorruptError)) throw error;
    throw new RegistryError("BAD_GATEWAY", error, { cause: error });
  }
}
