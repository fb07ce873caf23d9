import type { ReferrerList } from "../content/source.ts";
import { type Digest, splitDigest } from "../oci/digest.ts";
import { RegistryError, unlessCorrupt } from "../oci/error.ts";
import { isJsonObject, parseJson } from "../oci/json.ts";
import { type Descriptor, MAX_MANIFEST_BYTES, MEDIA_TYPE, parseDescriptor } from "../oci/manifest.ts";
import type { EndpointRequest } from "./client_context.ts";
import type { EndpointClient } from "./endpoint_client.ts";
import { fetchManifest } from "./manifest_request.ts";
import { findNextPage } from "./next_page.ts";
import type { RepositoryName } from "./tag_list.ts";

const MAX_PAGES = 20;
const MAX_REFERRERS = 10_000;
// Failures by which servers report that they do not have the API.
const NO_API = [500, 501, 505];
const LASTING: readonly string[] = ["UNAVAILABLE", "TOOMANYREQUESTS"];

/**
 * Returns the manifests that refer to `digest`. It uses the referrers API, and after any failure of that the referrers
 * tag: registries without the API answer with all kinds of errors, and with login pages (distribution specification,
 * "Listing Referrers" and "Referrers Tag Schema"; fault 73). The result is partial when a page or an entry cannot be
 * read, and when the API may exist, but does not answer.
 *
 * @throws {RegistryError} when neither the API nor the tag can be read
 */
export async function fetchReferrers(
  client: EndpointClient,
  name: RepositoryName,
  digest: Digest,
): Promise<ReferrerList> {
  let failure: RegistryError | undefined;
  let found: ReferrerList | "unusable" | undefined;
  try {
    found = await fetchReferrersByApi(client, name, digest);
  } catch (error) {
    if (!(error instanceof RegistryError) || error.code === "TOOMANYREQUESTS") throw error;
    failure = error;
  }
  const isUnusable = found === "unusable";
  const listed = typeof found === "object" ? found : await fetchByTag(client, { ...name, digest }, failure);
  const referrers = listed.referrers.filter((referrer) => referrer.digest !== digest);
  // The API has shown that there are some.
  return isUnusable && referrers.length === 0 ? { referrers, isPartial: true } : { ...listed, referrers };
}

/**
 * Returns the list of the referrers API; `undefined` when the registry does not have the API, and `unusable` when no entry
 * of the list can be used.
 *
 * @throws {RegistryError} `UNAVAILABLE` or `TOOMANYREQUESTS`, which does not show whether it has the API
 */
export async function fetchReferrersByApi(
  client: EndpointClient,
  { repo, path }: RepositoryName,
  digest: Digest,
): Promise<ReferrerList | "unusable" | undefined> {
  const what = `the referrers of ${digest} in ${repo}`;
  const found = new Map<Digest, Descriptor>();
  let hasInvalid = false;
  const end = (isPartial: boolean) => {
    const referrers = [...found.values()];
    if (referrers.length === 0 && hasInvalid) return "unusable";
    return isPartial ? { referrers, isPartial } : { referrers };
  };
  const visited = new Set<string>();
  let query: Record<string, string> = {};
  for (let pages = 1;; pages++) {
    const request = { path, resource: `referrers/${digest}`, query, action: `list ${what}` };
    // A later page that fails does not take away what was listed.
    const page = await requestPage(client, request, what).catch((error) => {
      if (pages === 1 || !(error instanceof RegistryError)) throw error;
      return undefined;
    });
    if (page === undefined) return pages === 1 ? undefined : end(true);
    for (const referrer of page.referrers) found.set(referrer.digest, referrer);
    hasInvalid ||= page.isPartial === true;
    const next = findNextPage(page.headers, client, request);
    if (next === undefined) return end(hasInvalid);
    const key = next === "refused" ? "" : new URLSearchParams(next.query).toString();
    if (next === "refused" || visited.has(key) || pages >= MAX_PAGES || found.size > MAX_REFERRERS) return end(true);
    visited.add(key);
    query = next.query;
  }
}

async function requestPage(
  client: EndpointClient,
  request: EndpointRequest,
  what: string,
): Promise<ReferrerList & { headers: Headers } | undefined> {
  try {
    const bound = { maxBytes: MAX_MANIFEST_BYTES, what };
    const answer = await client.read({ ...request, headers: { accept: MEDIA_TYPE.ociIndex }, accept: NO_API }, bound);
    const page = answer?.ok ? readIndex(answer.bytes) : undefined;
    return page && { ...page, headers: answer!.headers };
  } catch (error) {
    if (!(error instanceof RegistryError) || LASTING.includes(error.code)) throw error;
    return undefined;
  }
}

/** Returns the tag under which registries without the API have the list. */
export function referrersTagOf(digest: Digest): string {
  const { algorithm, hex } = splitDigest(digest);
  return `${algorithm}-${hex.slice(0, 64)}`;
}

/** @param failure why the referrers API did not answer; then the tag is requested only once */
async function fetchByTag(
  client: EndpointClient,
  { repo, path, digest }: RepositoryName & { readonly digest: Digest },
  failure: RegistryError | undefined,
): Promise<ReferrerList> {
  const isUrgent = failure !== undefined;
  const fetched = await fetchManifest(client, { repo, path, tagOrDigest: referrersTagOf(digest), isUrgent })
    .catch((error) => {
      throw failure ?? error;
    });
  // Some tools tag an image with its own digest. The children of such an index are not referrers of it.
  if (fetched?.manifest.kind === "index" && fetched.descriptor.digest !== digest) {
    const referrers = fetched.manifest.manifests.filter(({ platform }) => platform === undefined);
    return isUrgent ? { referrers, isPartial: true } : { referrers };
  }
  if (failure !== undefined) throw failure;
  return { referrers: [] };
}

/** Returns the valid entries of an index; `undefined` when the document is not an index. */
function readIndex(bytes: Uint8Array): ReferrerList | undefined {
  const json = readJson(bytes);
  if (!isJsonObject(json)) return undefined;
  // Some registries send `null` for an empty list.
  const entries = json.manifests === null ? [] : json.manifests;
  if (!Array.isArray(entries)) return undefined;
  // One entry that cannot be used, such as one with an unknown hash function, must not hide the others.
  const referrers = entries.slice(0, MAX_REFERRERS).map(readEntry).filter((entry) => entry !== undefined);
  return referrers.length === entries.length ? { referrers } : { referrers, isPartial: true };
}

function readEntry(entry: unknown): Descriptor | undefined {
  return unlessCorrupt(() => parseDescriptor(entry, "manifests"));
}

function readJson(bytes: Uint8Array): unknown {
  return unlessCorrupt(() => parseJson(bytes, "the referrers"));
}
