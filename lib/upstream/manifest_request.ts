import { DigestMismatchError } from "../content/verifier.ts";
import { computeDigest, type Digest, isDigest, splitDigest } from "../oci/digest.ts";
import { CorruptError, RegistryError } from "../oci/error.ts";
import {
  type Descriptor,
  type Manifest,
  MANIFEST_MEDIA_TYPES,
  MAX_MANIFEST_BYTES,
  parseManifest,
  stripParameters,
} from "../oci/manifest.ts";
import type { EndpointClient } from "./endpoint_client.ts";
import { parseContentLength } from "./transport/bounded_body.ts";

/** A manifest received from an upstream, with its digest verified. */
export interface FetchedManifest {
  readonly descriptor: Descriptor;
  readonly bytes: Uint8Array;
  readonly manifest: Manifest;
}

/** Identifies a manifest of a repository. */
export interface ManifestName {
  /** The repository name that the store uses, for error messages. */
  readonly repo: string;
  /** The path of the repository on its registry. */
  readonly path: string;
  readonly tagOrDigest: string;
  /** See `EndpointRequest.isUrgent`. */
  readonly isUrgent?: boolean | undefined;
}

const ACCEPT = MANIFEST_MEDIA_TYPES.join(", ");

/**
 * Fetches a manifest with one request; `undefined` when the registry does not have it.
 *
 * @throws {DigestMismatchError} when the manifest does not have the requested digest
 * @throws {RegistryError} `BAD_GATEWAY` when the manifest does not have the digest that the registry reports, is too
 *   large, or cannot be parsed
 */
export async function fetchManifest(client: EndpointClient, name: ManifestName): Promise<FetchedManifest | undefined> {
  const { repo, path, tagOrDigest, isUrgent } = name;
  const what = `manifest ${tagOrDigest} of ${repo}`;
  const answer = await client.read({
    path,
    resource: `manifests/${tagOrDigest}`,
    headers: { accept: ACCEPT },
    action: `read ${what}`,
    isUrgent,
  }, { maxBytes: MAX_MANIFEST_BYTES, what });
  if (answer === undefined) return undefined;
  const { bytes, headers } = answer;
  const digest = verifyManifest(answer, tagOrDigest, `${what} from ${client.host}`);
  try {
    const manifest = parseManifest(bytes, headers.get("content-type") ?? undefined);
    return { descriptor: { mediaType: manifest.mediaType, digest, size: bytes.length }, bytes, manifest };
  } catch (error) {
    if (!(error instanceof CorruptError)) throw error;
    const reason = error.message.replace(/^Cannot [^:]*: /, "");
    throw new RegistryError("BAD_GATEWAY", `Cannot use ${what} from ${client.host}: ${reason}`, { cause: error });
  }
}

/**
 * Resolves a tag with a HEAD, which Docker Hub does not count against its rate limit; `undefined` when the registry
 * does not have the tag, and `"unknown"` when the response does not describe the manifest completely.
 */
export async function headManifest(
  client: EndpointClient,
  name: ManifestName,
): Promise<Descriptor | "unknown" | undefined> {
  const { repo, path, tagOrDigest, isUrgent } = name;
  const response = await client.send({
    method: "HEAD",
    path,
    resource: `manifests/${tagOrDigest}`,
    headers: { accept: ACCEPT },
    action: `look up manifest ${tagOrDigest} of ${repo}`,
    isUrgent,
    accept: [400, 405, 501],
  });
  if (response === undefined) return undefined;
  await response.body?.cancel();
  const digest = response.headers.get("docker-content-digest");
  const mediaType = stripParameters(response.headers.get("content-type"));
  const size = parseContentLength(response.headers);
  const isKnown = response.ok && isDigest(digest) && mediaType !== undefined &&
    MANIFEST_MEDIA_TYPES.includes(mediaType) && size !== undefined && size > 0 &&
    response.headers.get("content-encoding") === null;
  return isKnown ? { mediaType, digest, size } : "unknown";
}

function verifyManifest(
  { bytes, headers }: { readonly bytes: Uint8Array; readonly headers: Headers },
  tagOrDigest: string,
  what: string,
): Digest {
  const requested = isDigest(tagOrDigest) ? tagOrDigest : undefined;
  if (requested !== undefined) {
    const actual = computeDigest(bytes, splitDigest(requested).algorithm);
    if (actual !== requested) throw new DigestMismatchError(`Cannot accept ${what}: the content has digest ${actual}`);
  }
  const reported = headers.get("docker-content-digest");
  // A digest of an unregistered algorithm is ignored.
  if (!isDigest(reported)) return requested ?? computeDigest(bytes);
  const actual = computeDigest(bytes, splitDigest(reported).algorithm);
  if (actual !== reported) {
    const reason = `the registry reports digest ${reported}, but the content has ${actual}`;
    throw new RegistryError("BAD_GATEWAY", `Cannot accept ${what}: ${reason}`);
  }
  return requested ?? actual;
}
