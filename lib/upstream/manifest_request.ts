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

/** A manifest as an upstream gave it, found to be what was asked for. */
export interface FetchedManifest {
  readonly descriptor: Descriptor;
  readonly bytes: Uint8Array;
  readonly manifest: Manifest;
}

/** Which manifest is meant. */
export interface ManifestName {
  /** The store's name of the repository, for errors. */
  readonly repo: string;
  /** The repository's path on its registry. */
  readonly path: string;
  readonly tagOrDigest: string;
  /** As `EndpointRequest` has it. */
  readonly isUrgent?: boolean | undefined;
}

const ACCEPT = MANIFEST_MEDIA_TYPES.join(", ");

/**
 * Gets a manifest with one request; `undefined` when the registry has none.
 *
 * @throws {RegistryError} `BAD_GATEWAY` when it has another digest than was asked for or than its registry says, is
 *   too large, or is none that can be used
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
  const digest = verifyManifest(bytes, headers, tagOrDigest, `${what} from ${client.host}`);
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
 * Asks what a tag stands for by HEAD, which Docker Hub does not count; `undefined` when the registry does not have
 * it, and `"unknown"` when its answer does not tell.
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

function verifyManifest(bytes: Uint8Array, headers: Headers, tagOrDigest: string, what: string): Digest {
  const asked = isDigest(tagOrDigest) ? tagOrDigest : undefined;
  if (asked !== undefined) {
    const actual = computeDigest(bytes, splitDigest(asked).algorithm);
    if (actual !== asked) throw new DigestMismatchError(`Cannot accept ${what}: the content has digest ${actual}`);
  }
  const said = headers.get("docker-content-digest");
  // One of an algorithm that nobody registered says nothing.
  if (!isDigest(said)) return asked ?? computeDigest(bytes);
  const actual = computeDigest(bytes, splitDigest(said).algorithm);
  if (actual !== said) {
    throw new RegistryError("BAD_GATEWAY", `Cannot accept ${what}: it is said to be ${said} but is ${actual}`);
  }
  return asked ?? actual;
}
