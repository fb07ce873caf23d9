import type { Digest } from "../oci/digest.ts";
import { type Descriptor, isIndexType, parseManifest, successorsOf } from "../oci/manifest.ts";
import { formatPlatform, isUnknownPlatform } from "../oci/platform.ts";
import type { DiskStore } from "./disk_store.ts";

/** An image that a store holds, by its tag. */
export interface HeldImage {
  /** `docker.io/library/nginx:1.27` */
  readonly reference: string;
  readonly digest: Digest;
  readonly mediaType: string;
  /** What the image is for, as far as all of its content is here; empty where its index or config names none. */
  readonly platforms: readonly string[];
  /** Bytes of its content that are here. */
  readonly size: number;
  /** Whether something can be pulled: all of a manifest, or all of at least one manifest of an index. */
  readonly isComplete: boolean;
}

/** Lists the tagged images of a store, sorted by reference. */
export async function listHeldImages(store: DiskStore): Promise<HeldImage[]> {
  const images: HeldImage[] = [];
  for (const repo of await store.listRepositories()) {
    for (const { tag, digest } of await store.listTagLinks(repo)) {
      const root = await store.resolve(repo, digest);
      if (root === undefined) continue;
      const sizes = new Map<Digest, number>();
      const platforms = new Set<string>();
      const isComplete = await measure(store, repo, root, sizes, platforms);
      const size = [...sizes.values()].reduce((sum, bytes) => sum + bytes, 0);
      const { mediaType } = root;
      images.push({ reference: `${repo}:${tag}`, digest, mediaType, platforms: [...platforms], size, isComplete });
    }
  }
  return images;
}

async function measure(
  store: DiskStore,
  repo: string,
  root: Descriptor,
  sizes: Map<Digest, number>,
  platforms: Set<string>,
): Promise<boolean> {
  const bytes = await store.readManifest(repo, root.digest);
  if (bytes === undefined) return false;
  sizes.set(root.digest, bytes.length);
  const successors = successorsOf(parseManifest(bytes, root.mediaType));
  const results: boolean[] = [];
  for (const child of successors) {
    if (isIndexType(root.mediaType)) {
      results.push(await measure(store, repo, child, sizes, platforms));
    } else {
      const size = await store.statBlob(repo, child.digest);
      if (size !== undefined) sizes.set(child.digest, size);
      results.push(size === child.size);
    }
  }
  const isComplete = isIndexType(root.mediaType) ? results.includes(true) : !results.includes(false);
  if (isComplete && root.platform !== undefined && !isUnknownPlatform(root.platform)) {
    platforms.add(formatPlatform(root.platform));
  }
  return isComplete;
}
