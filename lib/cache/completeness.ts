import type { ContentSource } from "../content/source.ts";
import type { Digest } from "../oci/digest.ts";
import { inlineDataOf } from "../oci/inline_data.ts";
import { type Descriptor, isIndexType, isManifestType, parseManifest, successorsOf } from "../oci/manifest.ts";
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
  return await new ImageCheck(source, repo).check(root);
}

/** Lists the blobs that a manifest refers to: config and layers, or the entries of an index that are no manifests. */
export function blobsOf(bytes: Uint8Array, mediaType?: string): Descriptor[] {
  const manifest = parseManifest(bytes, mediaType);
  const successors = successorsOf(manifest);
  return manifest.kind === "index" ? successors.filter((entry) => !isManifestType(entry.mediaType)) : successors;
}

/** Reports whether a source can serve a blob, which may be embedded in its descriptor. */
export async function hasBlob(source: ContentSource, repo: string, blob: Descriptor): Promise<boolean> {
  return await source.statBlob(repo, blob.digest) === blob.size || inlineDataOf(blob) !== undefined;
}

class ImageCheck {
  readonly #source: ContentSource;
  readonly #repo: string;
  readonly #checked = new Map<Digest, HeldImage>();

  constructor(source: ContentSource, repo: string) {
    this.#source = source;
    this.#repo = repo;
  }

  async check(descriptor: Descriptor): Promise<HeldImage> {
    const known = this.#checked.get(descriptor.digest);
    if (known !== undefined) return known;
    if (this.#checked.size >= MAX_MANIFESTS) return NONE;
    // A manifest cannot contain its own digest; this entry only counts it.
    this.#checked.set(descriptor.digest, NONE);
    const found = await this.#read(descriptor);
    this.#checked.set(descriptor.digest, found);
    return found;
  }

  async #read({ digest, mediaType }: Descriptor): Promise<HeldImage> {
    const bytes = await this.#source.readManifest(this.#repo, digest);
    if (bytes === undefined) return NONE;
    const successors = successorsOf(parseManifest(bytes, mediaType));
    if (!isIndexType(mediaType)) return await this.#checkBlobs(successors);
    const manifests = successors.filter((entry) => isManifestType(entry.mediaType));
    const images = manifests.filter((entry) => !isAttestation(entry));
    const best = manifests.length === 0 ? COMPLETE : await this.#findBest(images.length > 0 ? images : manifests);
    if (best.state === "none") return best;
    return merge([best, await this.#checkBlobs(successors.filter((entry) => !isManifestType(entry.mediaType)))]);
  }

  async #checkBlobs(blobs: readonly Descriptor[]): Promise<HeldImage> {
    const missing = new Set<Digest>();
    for (const blob of blobs) if (!await hasBlob(this.#source, this.#repo, blob)) missing.add(blob.digest);
    return missing.size === 0
      ? COMPLETE
      : { state: "partial", missing: [...missing].slice(0, MAX_NAMED), missingCount: missing.size };
  }

  async #findBest(entries: readonly Descriptor[]): Promise<HeldImage> {
    const partial: HeldImage[] = [];
    for (const entry of entries) {
      const held = await this.check(entry);
      if (held.state === "complete") return held;
      if (held.state === "partial") partial.push(held);
    }
    return partial.length === 0 ? NONE : merge(partial);
  }
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
