import type { Digest } from "../oci/digest.ts";
import { CorruptError } from "../oci/error.ts";
import { isJsonObject, parseJson } from "../oci/json.ts";
import { type Descriptor, isIndexType, parseManifest, successorsOf } from "../oci/manifest.ts";
import { formatPlatform, isUnknownPlatform, type Platform } from "../oci/platform.ts";
import type { DiskStore } from "./disk_store.ts";

const MAX_CONFIG_BYTES = 4 * 1024 * 1024;

/** An image that a store holds, by its tag. */
export interface TaggedImage {
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
export async function listHeldImages(store: DiskStore): Promise<TaggedImage[]> {
  const images: TaggedImage[] = [];
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
  const manifest = parseManifest(bytes, root.mediaType);
  const successors = successorsOf(manifest);
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
  if (!isComplete || manifest.kind === "index") return isComplete;
  const platform = root.platform ?? await readPlatform(store, repo, manifest.config);
  if (platform !== undefined && !isUnknownPlatform(platform)) platforms.add(formatPlatform(platform));
  return isComplete;
}

/** What the config of an image says that it is for, if it is one that says it. */
async function readPlatform(
  store: DiskStore,
  repo: string,
  config: Descriptor | undefined,
): Promise<Platform | undefined> {
  if (config === undefined || config.size > MAX_CONFIG_BYTES) return undefined;
  const opened = await store.openBlob(repo, config.digest);
  if (opened === undefined) return undefined;
  const bytes = new Uint8Array(
    await new Response(opened.body as ReadableStream<Uint8Array<ArrayBuffer>>).arrayBuffer(),
  );
  try {
    const json = parseJson(bytes, "the config");
    if (!isJsonObject(json)) return undefined;
    const { os, architecture, variant } = json;
    if (typeof os !== "string" || typeof architecture !== "string") return undefined;
    return { os, architecture, ...(typeof variant === "string" && variant !== "" ? { variant } : {}) };
  } catch (error) {
    // An artifact's config is whatever its maker wanted.
    if (error instanceof CorruptError) return undefined;
    throw error;
  }
}
