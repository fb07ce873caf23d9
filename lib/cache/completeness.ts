import type { ContentSource } from "../content/source.ts";
import { walkImage } from "../content/walk_image.ts";
import type { Digest } from "../oci/digest.ts";
import { inlineDataOf } from "../oci/inline_data.ts";
import { type Descriptor, parseManifest, splitSuccessors } from "../oci/manifest.ts";
import { isUnknownPlatform } from "../oci/platform.ts";

/** How much of an image a source has. */
export interface HeldImage {
  /**
   * - `complete`: every blob of a manifest, or of at least one image of an index, and every blob that the index lists.
   * - `partial`: a manifest without some or all of its blobs, which a client may have.
   * - `none`: not even the manifest of one image. An index alone, or with an attestation alone, is no image.
   */
  readonly state: "complete" | "partial" | "none";
  /** The missing blobs of a partial image, at most `MAX_NAMED` of them. */
  readonly missing: readonly Digest[];
  /** Number of missing blobs. */
  readonly missingCount: number;
}

/** The result for an image without missing blobs. */
export const COMPLETE: HeldImage = { state: "complete", missing: [], missingCount: 0 };
const NONE: HeldImage = { state: "none", missing: [], missingCount: 0 };
const MAX_NAMED = 8;
// Manifests that are read for one image. An index may list the same ones again and again, and nest.
const MAX_MANIFESTS = 5000;

/**
 * Reports whether an image can be pulled from a source: whether it has every blob of a manifest, or of at least one
 * image of an index. Meant for a store: an upstream would receive a request for each blob.
 */
export async function isComplete(source: ContentSource, repo: string, root: Descriptor): Promise<boolean> {
  return (await checkImage(source, repo, root)).state === "complete";
}

/** Checks how much of an image a source has. Meant for a store, as `isComplete`. */
export async function checkImage(source: ContentSource, repo: string, root: Descriptor): Promise<HeldImage> {
  return await walkImage<HeldImage>(root, {
    read: async ({ digest, mediaType }) => {
      const bytes = await source.readManifest(repo, digest);
      return bytes && { bytes, manifest: parseManifest(bytes, mediaType) };
    },
    missing: () => NONE,
    maxManifests: MAX_MANIFESTS,
    visit: async ({ manifests, blobs }, below) => {
      const images = manifests.filter((entry) => !isAttestation(entry));
      const best = manifests.length === 0 ? COMPLETE : await findBest(images.length > 0 ? images : manifests, below);
      return best.state === "none" ? best : merge([best, await checkBlobs(source, repo, blobs)]);
    },
  });
}

/** Lists the blobs that a manifest refers to: config and layers, or the entries of an index that are no manifests. */
export function blobsOf(bytes: Uint8Array, mediaType?: string): Descriptor[] {
  return splitSuccessors(parseManifest(bytes, mediaType)).blobs;
}

/** Reports whether a source can serve a blob, which may be embedded in its descriptor. */
export async function hasBlob(source: ContentSource, repo: string, blob: Descriptor): Promise<boolean> {
  return await source.statBlob(repo, blob.digest) === blob.size || inlineDataOf(blob) !== undefined;
}

async function checkBlobs(source: ContentSource, repo: string, blobs: readonly Descriptor[]): Promise<HeldImage> {
  const missing = new Set<Digest>();
  for (const blob of blobs) if (!await hasBlob(source, repo, blob)) missing.add(blob.digest);
  return missing.size === 0
    ? COMPLETE
    : { state: "partial", missing: [...missing].slice(0, MAX_NAMED), missingCount: missing.size };
}

async function findBest(
  entries: readonly Descriptor[],
  check: (entry: Descriptor) => Promise<HeldImage>,
): Promise<HeldImage> {
  const partial: HeldImage[] = [];
  for (const entry of entries) {
    const held = await check(entry);
    if (held.state === "complete") return held;
    if (held.state === "partial") partial.push(held);
  }
  return partial.length === 0 ? NONE : merge(partial);
}

function merge(parts: readonly HeldImage[]): HeldImage {
  const missing = parts.flatMap((part) => part.missing).slice(0, MAX_NAMED);
  const missingCount = parts.reduce((sum, part) => sum + part.missingCount, 0);
  return missingCount === 0 ? COMPLETE : { state: "partial", missing, missingCount };
}

/** Reports whether an entry of an index is no image for a platform, but describes another entry. */
function isAttestation({ platform, annotations }: Descriptor): boolean {
  return platform !== undefined && isUnknownPlatform(platform) ||
    annotations?.["vnd.docker.reference.type"] !== undefined;
}
