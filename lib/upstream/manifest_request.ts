import { DigestMismatchError } from "../content/verifier.ts";
import { computeDigest, type Digest, isDigest, splitDigest } from "../oci/digest.ts";
import { cannot, CorruptError, RegistryError } from "../oci/error.ts";
import {
  type Descriptor,
  type Manifest,
  MANIFEST_MEDIA_TYPES,
  MAX_MANIFEST_BYTES,
  parseManifest,
  stripParameters,
} from "../oci/manifest.ts";
import type { AnswerHead, EndpointRequest } from "./client_context.ts";
import type { EndpointClient } from "./endpoint_client.ts";
import { askHeadOrGet } from "./head_or_get.ts";
import { parseContentLength } from "./transport/bounded_body.ts";
import { encodingOf } from "./transport/content_encoding.ts";

/** A manifest received from an upstream, with its digest verified. */
export interface FetchedManifest {
  readonly descriptor: Descriptor;
  readonly bytes: Uint8Array;
  readonly manifest: Manifest;
}

/** Identifies a manifest of a repository. */
interface ManifestName extends Pick<EndpointRequest, "isUrgent" | "signal" | "onAnswer" | "hasSlot"> {
  /** The repository name that the store uses, for error messages. */
  readonly repo: string;
  /** The path of the repository on its registry. */
  readonly path: string;
  readonly tagOrDigest: string;
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
  const { repo, path, tagOrDigest, isUrgent, signal, onAnswer, hasSlot } = name;
  const what = `manifest ${tagOrDigest} of ${repo}`;
  const answer = await client.read({
    path,
    resource: `manifests/${tagOrDigest}`,
    headers: { accept: ACCEPT },
    action: `read ${what}`,
    isUrgent,
    signal,
    onAnswer,
    hasSlot,
  }, { maxBytes: MAX_MANIFEST_BYTES, what });
  if (answer === undefined) return undefined;
  const { bytes, headers } = answer;
  const digest = verifyManifest(answer, tagOrDigest, `${what} from ${client.host}`);
  try {
    const manifest = parseManifest(bytes, headers.get("content-type") ?? undefined);
    return { descriptor: { mediaType: manifest.mediaType, digest, size: bytes.length }, bytes, manifest };
  } catch (error) {
    if (!(error instanceof CorruptError)) throw error;
    throw new RegistryError("BAD_GATEWAY", cannot(`use ${what} from ${client.host}`, error.reason, error.advice), {
      cause: error,
    });
  }
}

/** The descriptor of a manifest, and its bytes if it was necessary to fetch them. */
type FoundManifest = Pick<FetchedManifest, "descriptor"> & Partial<FetchedManifest>;

/**
 * Resolves a tag with a HEAD, which Docker Hub does not count against its rate limit. When the HEAD fails, or its
 * answer does not describe the manifest completely, the manifest is fetched: only the answer to a GET shows that a tag
 * does not exist (fault 71).
 *
 * @throws {RegistryError} as `fetchManifest`
 */
export async function findManifest(client: EndpointClient, name: ManifestName): Promise<FoundManifest | undefined> {
  const { repo, path, tagOrDigest, isUrgent } = name;
  const request = {
    path,
    resource: `manifests/${tagOrDigest}`,
    headers: { accept: ACCEPT },
    action: `look up manifest ${tagOrDigest} of ${repo}`,
    isUrgent,
  };
  return await askHeadOrGet<FoundManifest>(client, request, {
    read: readDescriptor,
    get: (fields) => fetchManifest(client, { ...name, ...fields }),
  });
}

function readDescriptor({ headers }: AnswerHead): FoundManifest | undefined {
  const digest = headers.get("docker-content-digest");
  const mediaType = stripParameters(headers.get("content-type"));
  const size = parseContentLength(headers);
  const isKnown = isDigest(digest) && mediaType !== undefined && MANIFEST_MEDIA_TYPES.includes(mediaType) &&
    size !== undefined && size > 0 && encodingOf(headers) === undefined;
  return isKnown ? { descriptor: { mediaType, digest, size } } : undefined;
}

function verifyManifest(
  { bytes, headers }: { readonly bytes: Uint8Array; readonly headers: Headers },
  tagOrDigest: string,
  what: string,
): Digest {
  const requested = isDigest(tagOrDigest) ? tagOrDigest : undefined;
  if (requested !== undefined) {
    const actual = computeDigest(bytes, splitDigest(requested).algorithm);
    if (actual !== requested) {
      throw new DigestMismatchError(cannot(`accept ${what}`, `the content has digest ${actual}`));
    }
  }
  const reported = headers.get("docker-content-digest");
  // A digest of an unregistered algorithm is ignored.
  if (!isDigest(reported)) return requested ?? computeDigest(bytes);
  const actual = computeDigest(bytes, splitDigest(reported).algorithm);
  if (actual !== reported) {
    const reason = `the registry reports digest ${reported}, but the content has ${actual}`;
    throw new RegistryError("BAD_GATEWAY", cannot(`accept ${what}`, reason));
  }
  return requested ?? actual;
}
