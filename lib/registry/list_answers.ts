import { SharedResults } from "../bytes/shared_bytes.ts";
import type { ContentCatalog } from "../content/source.ts";
import { MEDIA_TYPE } from "../oci/manifest.ts";
import { type Answer, answerJson } from "./answer.ts";
import { formatNextLink, parsePage } from "./paging.ts";
import { type CatalogRoute, type ReferrersRoute, splitUrl, type TagsRoute } from "./route.ts";
import { unknownRepository } from "./unknown_content.ts";

// Number of repositories on a page: without `n`, and at most.
const DEFAULT_REPOSITORIES = 1000;
const MAX_REPOSITORIES = 10_000;

// RFC 7234, 5.5. RFC 9111 made the header obsolete without a replacement.
const PARTIAL_WARNING = '110 crpe "Response is Stale", 199 crpe "The list may be incomplete"';

// A list may be long, so that only a few are made at a time.
const MAX_CONCURRENT = 2;

type ListAnswer = Answer & { readonly body: Uint8Array };

/** Responds to requests for lists. Equal requests share the work, and the bytes in memory. */
export class ListAnswers {
  readonly #catalog: ContentCatalog;
  readonly #shared = new SharedResults<ListAnswer>();
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  constructor(catalog: ContentCatalog) {
    this.#catalog = catalog;
  }

  /** Responds to a request. @throws {RegistryError} when there is no such list */
  answer(route: TagsRoute | CatalogRoute | ReferrersRoute, request: Request): Promise<Answer> {
    const { path, query } = splitUrl(request.url);
    return this.#shared.get(`${path}?${query}`, () => this.#limit(() => this.#find(route, request)));
  }

  #find(route: TagsRoute | CatalogRoute | ReferrersRoute, request: Request): Promise<ListAnswer> {
    switch (route.kind) {
      case "tags":
        return answerTags(this.#catalog, route, request);
      case "catalog":
        return answerCatalog(this.#catalog, route, request);
      case "referrers":
        return answerReferrers(this.#catalog, route);
    }
  }

  async #limit(find: () => Promise<ListAnswer>): Promise<ListAnswer> {
    if (this.#running >= MAX_CONCURRENT) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.#running++;
    try {
      return await find();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#running--;
      else next();
    }
  }
}

async function answerTags(catalog: ContentCatalog, route: TagsRoute, request: Request): Promise<ListAnswer> {
  const page = await catalog.listTags(route.repo, parsePage(route));
  if (page === undefined) throw await unknownRepository(catalog, { repo: route.repo, request });
  const { tags, isMore, isPartial } = page;
  return answerJson({ name: route.name, tags }, { ...linkHeader(request, tags, isMore), ...warningHeader(isPartial) });
}

async function answerCatalog(catalog: ContentCatalog, route: CatalogRoute, request: Request): Promise<ListAnswer> {
  const { after, limit = DEFAULT_REPOSITORIES } = parsePage(route);
  const { repositories, isMore } = await catalog.listRepositories({ after, limit: Math.min(limit, MAX_REPOSITORIES) });
  return answerJson({ repositories }, linkHeader(request, repositories, isMore));
}

async function answerReferrers(catalog: ContentCatalog, route: ReferrersRoute): Promise<ListAnswer> {
  const { repo, digest, artifactType } = route;
  const { referrers, isPartial } = await catalog.listReferrers(repo, digest);
  const manifests = artifactType === undefined
    ? referrers
    : referrers.filter((descriptor) => descriptor.artifactType === artifactType);
  return answerJson({ schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests }, {
    "content-type": MEDIA_TYPE.ociIndex,
    // Distribution specification, "Listing Referrers": the registry must list the filters that it applied.
    ...(artifactType === undefined ? undefined : { "oci-filters-applied": "artifactType" }),
    ...warningHeader(isPartial),
  });
}

// There is no next page after an empty one, such as that of `n=0`, because it would be the same page again.
function linkHeader(request: Request, entries: readonly string[], isMore: boolean): Record<string, string> | undefined {
  const last = entries.at(-1);
  return isMore && last !== undefined ? { link: formatNextLink(request.url, entries.length, last) } : undefined;
}

function warningHeader(isPartial: boolean | undefined): Record<string, string> | undefined {
  return isPartial ? { warning: PARTIAL_WARNING } : undefined;
}
