import type { ContentCatalog, MissingReason } from "../content/source.ts";
import type { Digest } from "../oci/digest.ts";
import { cannot, RegistryError } from "../oci/error.ts";

const UNEXPLAINED: MissingReason = { reason: "it is not in the store, and no upstream that may be used has it" };

/** A missing manifest, blob or repository, and the request for it. */
interface UnknownContent {
  readonly repo: string;
  readonly request: Request;
}

/** Creates the error for a missing manifest; it gives the reason, and similar tags. */
export async function unknownManifest(
  catalog: ContentCatalog,
  reference: string,
  { repo, request }: UnknownContent,
): Promise<RegistryError> {
  const { reason, similarTags } = await explain(catalog, reference, { repo, request });
  return new RegistryError("MANIFEST_UNKNOWN", cannot(`find manifest ${reference} of ${repo}`, reason), {
    detail: { name: repo, reference, similarTags },
  });
}

/** Creates the error for a missing blob; it gives the reason. */
export async function unknownBlob(
  catalog: ContentCatalog,
  digest: Digest,
  { repo, request }: UnknownContent,
): Promise<RegistryError> {
  const { reason } = await explain(catalog, digest, { repo, request });
  return new RegistryError("BLOB_UNKNOWN", cannot(`find blob ${digest} of ${repo}`, reason), {
    detail: { name: repo, digest },
  });
}

/** Creates the error for a repository whose tags were requested; it gives the reason. */
export async function unknownRepository(
  catalog: ContentCatalog,
  { repo, request }: UnknownContent,
): Promise<RegistryError> {
  const { reason } = await explain(catalog, undefined, { repo, request });
  return new RegistryError("NAME_UNKNOWN", cannot(`list the tags of ${repo}`, reason), { detail: { name: repo } });
}

async function explain(
  catalog: ContentCatalog,
  tagOrDigest: string | undefined,
  { repo, request }: UnknownContent,
): Promise<MissingReason> {
  // The response to HEAD has no body, and the explanation may cost a request to the upstream.
  if (request.method === "HEAD" || catalog.explainMissing === undefined) return UNEXPLAINED;
  try {
    return await catalog.explainMissing(repo, tagOrDigest);
  } catch {
    return UNEXPLAINED;
  }
}
