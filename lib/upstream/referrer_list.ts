import { type Digest, splitDigest } from "../oci/digest.ts";
import { cannot, CorruptError, RegistryError } from "../oci/error.ts";
import { isJsonObject, parseJson } from "../oci/json.ts";
import { type Descriptor, MAX_MANIFEST_BYTES, MEDIA_TYPE, parseManifest } from "../oci/manifest.ts";
import { type EndpointRequest, REFUSED_HEAD } from "./client_context.ts";
import type { EndpointClient } from "./endpoint_client.ts";
import { fetchManifest } from "./manifest_request.ts";
import { findNextPage } from "./next_page.ts";

const MAX_PAGES = 20;
const MAX_REFERRERS = 10_000;
// After these errors of the referrers API, a request for the referrers tag would fail for the same reason.
const LASTING: readonly string[] = ["UNAVAILABLE", "TOOMANYREQUESTS"];

/**
 * Returns the manifests that refer to `digest`. It uses the referrers API, and after any failure of that the referrers
 * tag: registries without the API answer with all kinds of errors, and with login pages (distribution specification,
 * "Listing Referrers" and "Referrers Tag Schema"; fault 73).
 *
 * @throws {RegistryError} `BAD_GATEWAY` when the list cannot be parsed, or does not end
 */
export async function fetchReferrers(
  client: EndpointClient,
  name: { readonly repo: string; readonly path: string },
  digest: Digest,
): Promise<Descriptor[]> {
  const found = await fetchReferrersByApi(client, name, digest) ?? await fetchByTag(client, name, digest);
  return found.filter((referrer) => referrer.digest !== digest);
}

/** Returns the list of the referrers API; `undefined` when the registry does not have the API. */
export async function fetchReferrersByApi(
  client: EndpointClient,
  { repo, path }: { readonly repo: string; readonly path: string },
  digest: Digest,
): Promise<Descriptor[] | undefined> {
  const what = `the referrers of ${digest} in ${repo}`;
  const found = new Map<Digest, Descriptor>();
  const visited = new Set<string>();
  let query: Record<string, string> = {};
  for (let pages = 1;; pages++) {
    const request = { path, resource: `referrers/${digest}`, query, action: `list ${what}` };
    const page = await requestPage(client, request, what);
    if (page === undefined) return pages === 1 ? undefined : [...found.values()];
    for (const referrer of page.referrers) found.set(referrer.digest, referrer);
    const next = findNextPage(page.headers, client, request);
    if (next === undefined) return [...found.values()];
    const key = next === "refused" ? "" : new URLSearchParams(next.query).toString();
    if (next === "refused" || visited.has(key) || pages >= MAX_PAGES || found.size > MAX_REFERRERS) {
      throw new RegistryError("BAD_GATEWAY", cannot(`list ${what} at ${client.host}`, "the list does not end"));
    }
    visited.add(key);
    query = next.query;
  }
}

async function requestPage(
  client: EndpointClient,
  request: EndpointRequest,
  what: string,
): Promise<{ referrers: readonly Descriptor[]; headers: Headers } | undefined> {
  try {
    const answer = await client.read(
      { ...request, headers: { accept: MEDIA_TYPE.ociIndex }, accept: REFUSED_HEAD },
      { maxBytes: MAX_MANIFEST_BYTES, what },
    );
    const referrers = answer?.ok ? readIndex(answer.bytes) : undefined;
    return referrers && { referrers, headers: answer!.headers };
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

async function fetchByTag(
  client: EndpointClient,
  { repo, path }: { readonly repo: string; readonly path: string },
  digest: Digest,
): Promise<Descriptor[]> {
  const fetched = await fetchManifest(client, { repo, path, tagOrDigest: referrersTagOf(digest) });
  // Some tools tag an image with its own digest. The children of such an index are not referrers of it.
  if (fetched?.manifest.kind !== "index" || fetched.descriptor.digest === digest) return [];
  return fetched.manifest.manifests.filter(({ platform }) => platform === undefined);
}

/** Returns the entries of an index; `undefined` when the document is not an index. */
function readIndex(bytes: Uint8Array): readonly Descriptor[] | undefined {
  try {
    const json = parseJson(bytes, "the referrers");
    if (!isJsonObject(json) || !("manifests" in json)) return undefined;
    // Some registries send `null` for an empty list.
    if (json.manifests === null) return [];
    const index = parseManifest(bytes, MEDIA_TYPE.ociIndex);
    return index.kind === "index" ? index.manifests : undefined;
  } catch (error) {
    if (error instanceof CorruptError) return undefined;
    throw error;
  }
}
