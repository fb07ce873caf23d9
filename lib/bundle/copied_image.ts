import { type Descriptor, parseManifest, splitSuccessors } from "../oci/manifest.ts";
import { formatPlatform, isUnknownPlatform, type Platform } from "../oci/platform.ts";
import { selectPlatforms } from "./archive_images.ts";
import type { GraphManifest, ImageGraph } from "./image_graph.ts";

/** What is sent of an image. */
interface CopiedImage {
  /** Children before the manifests that refer to them; the last one is the image's. */
  readonly manifests: readonly GraphManifest[];
  /** Configs and layers, each once. */
  readonly blobs: readonly Descriptor[];
}

/**
 * Selects the manifests of an image to copy. Without platforms it is all of it, with its digest. With platforms, where its
 * index has others too, it is the manifest of the one platform, or an index of the chosen ones, as `planImageArchive`
 * writes it.
 *
 * @returns `undefined` when the image is not there for any of the platforms
 */
export function selectCopy(graph: ImageGraph, platforms: readonly Platform[] | undefined): CopiedImage | undefined {
  const selected = platforms === undefined ? undefined : selectPlatforms(graph, platforms);
  if (platforms !== undefined && selected === undefined) return undefined;
  const manifests = selected?.manifests ?? graph.manifests;
  const blobs = selected?.content ?? manifests.flatMap(({ bytes }) => splitSuccessors(parseManifest(bytes)).blobs);
  return { manifests, blobs: [...new Map(blobs.map((blob) => [blob.digest, blob])).values()] };
}

/** Lists the manifests of indexes that are not there: those of platforms that were not packed, or not pulled. */
export function listMissingManifests(manifests: readonly GraphManifest[]): Descriptor[] {
  const held = new Set(manifests.map(({ descriptor }) => descriptor.digest));
  return manifests.flatMap(({ bytes }) => splitSuccessors(parseManifest(bytes)).manifests)
    .filter(({ digest }) => !held.has(digest));
}

/** Names the platforms of manifests: `linux/arm64`, `an attestation`. */
export function namePlatforms(descriptors: readonly Descriptor[]): string[] {
  const names = descriptors.map(({ platform, digest }) => {
    if (platform === undefined) return digest;
    return isUnknownPlatform(platform) ? "an attestation" : formatPlatform(platform);
  });
  return [...new Set(names)];
}
