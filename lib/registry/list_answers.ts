import type { ContentCatalog } from "../content/source.ts";
import { MEDIA_TYPE } from "../oci/manifest.ts";
import { type Answer, answerJson } from "./answer.ts";
import { formatNextLink, parsePage } from "./paging.ts";
import type { CatalogRoute, ReferrersRoute, TagsRoute } from "./route.ts";
import { unknownRepository } from "./unknown_content.ts";

// Number of repositories on a page: without `n`, and at most.
const DEFAULT_REPOSITORIES = 1000;
const MAX_REPOSITORIES = 10_000;

// RFC 7234, 5.5. RFC 9111 made the header obsolete without a replacement.
const PARTIAL_WARNING = '110 crpe "Response is Stale", 199 crpe "The list may be incomplete"';

/** Responds to a request for the tags of a repository. */
export async function answerTags(catalog: ContentCatalog, route: TagsRoute, request: Request): Promise<Answer> {
  const page = await catalog.listTags(route.repo, parsePage(route));
  if (page === undefined) throw await unknownRepository(catalog, { repo: route.repo, request });
  const { tags, isMore, isPartial } = page;
  return answerJson({ name: route.name, tags }, { ...linkHeader(request, tags, isMore), ...warningHeader(isPartial) });
}

/** Responds to a request for the repositories of the store. */
export async function answerCatalog(catalog: ContentCatalog, route: CatalogRoute, request: Request): Promise<Answer> {
  const { after, limit = DEFAULT_REPOSITORIES } = parsePage(route);
  const { repositories, isMore } = await catalog.listRepositories({ after, limit: Math.min(limit, MAX_REPOSITORIES) });
  return answerJson({ repositories }, linkHeader(request, repositories, isMore));
}

/** Responds to a request for the referrers of a manifest. */
export async function answerReferrers(catalog: ContentCatalog, route: ReferrersRoute): Promise<Answer> {
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
