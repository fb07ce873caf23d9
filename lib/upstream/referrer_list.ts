import { parseNextLink } from "../http/link.ts";
import { type Digest, splitDigest } from "../oci/digest.ts";
import { CorruptError, RegistryError } from "../oci/error.ts";
import { type Descriptor, MAX_MANIFEST_BYTES, MEDIA_TYPE, parseManifest } from "../oci/manifest.ts";
import type { EndpointClient } from "./endpoint_client.ts";
import { fetchManifest } from "./manifest_request.ts";

const MAX_PAGES = 20;

/**
 * Returns the manifests that refer to `digest`. It uses the referrers API and falls back to the referrers tag for
 * registries without that API (distribution specification, "Listing Referrers" and "Referrers Tag Schema").
 *
 * @throws {RegistryError} `BAD_GATEWAY` when the list cannot be parsed
 */
export async function fetchReferrers(
  client: EndpointClient,
  name: { readonly repo: string; readonly path: string },
  digest: Digest,
): Promise<Descriptor[]> {
  const { repo, path } = name;
  const what = `the referrers of ${digest} in ${repo}`;
  const found = new Map<Digest, Descriptor>();
  let query: Record<string, string> | undefined = {};
  for (let pages = 0; query !== undefined && pages < MAX_PAGES; pages++) {
    const request = { path, resource: `referrers/${digest}`, query, action: `list ${what}` };
    const response = await client.read(
      { ...request, headers: { accept: MEDIA_TYPE.ociIndex }, accept: [400, 405, 501] },
      { maxBytes: MAX_MANIFEST_BYTES, what },
    );
    if (response === undefined || !response.ok) {
      return pages === 0 ? await fetchByTag(client, name, digest) : [...found.values()];
    }
    for (const referrer of readIndex(response.bytes, `${what} from ${client.host}`)) {
      found.set(referrer.digest, referrer);
    }
    const current = client.urlOf(request);
    const next = parseNextLink(response.headers.get("link"), current);
    const isOwn = next?.origin === current.origin && next.pathname === current.pathname;
    query = next !== undefined && isOwn ? Object.fromEntries(next.searchParams) : undefined;
  }
  return [...found.values()];
}

async function fetchByTag(
  client: EndpointClient,
  { repo, path }: { readonly repo: string; readonly path: string },
  digest: Digest,
): Promise<Descriptor[]> {
  const { algorithm, hex } = splitDigest(digest);
  const fetched = await fetchManifest(client, { repo, path, tagOrDigest: `${algorithm}-${hex.slice(0, 64)}` });
  return fetched?.manifest.kind === "index" ? [...fetched.manifest.manifests] : [];
}

function readIndex(bytes: Uint8Array, what: string): readonly Descriptor[] {
  try {
    const index = parseManifest(bytes, MEDIA_TYPE.ociIndex);
    return index.kind === "index" ? index.manifests : [];
  } catch (error) {
    if (!(error instanceof CorruptError)) throw error;
    throw new RegistryError("BAD_GATEWAY", `Cannot use ${what}: ${error.message}`, { cause: error });
  }
}
