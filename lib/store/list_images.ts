import { readBounded } from "../bytes/read_bounded.ts";
import { mapInOrder } from "../content/map_in_order.ts";
import { walkImage } from "../content/walk_image.ts";
import type { Digest } from "../oci/digest.ts";
import { CorruptError } from "../oci/error.ts";
import { parseJson } from "../oci/json.ts";
import { type Descriptor, parseManifest } from "../oci/manifest.ts";
import { formatPlatform, isUnknownPlatform, type Platform, platformOfConfig } from "../oci/platform.ts";
import type { TaggedStore, TagLink } from "./blob_store.ts";

const REPOSITORIES_AT_ONCE = 1000;
const MAX_CONFIG_BYTES = 4 * 1024 * 1024;

/** A tagged image in a store. */
export interface TaggedImage {
  /** `docker.io/library/nginx:1.27` */
  readonly reference: string;
  readonly digest: Digest;
  readonly mediaType: string;
  /** Platforms of the image whose content is complete in the store; empty if its index or config names none. */
  readonly platforms: readonly string[];
  /** Size of its content in the store, in bytes. */
  readonly size: number;
  /** When the tag was set to this digest. */
  readonly tagged?: Date | undefined;
  /** Whether it can be pulled: all blobs of a manifest are in the store, or of at least one manifest of an index. */
  readonly isComplete: boolean;
}

/** The options of `walkTaggedImages`. */
interface ImageWalkOptions {
  /** How many images are looked at side by side, where the store is not on this machine. Default: 1. */
  readonly atOnce?: number;
}

/** Lists the tagged images of a store, sorted by reference. */
export async function listTaggedImages(store: TaggedStore, options?: ImageWalkOptions): Promise<TaggedImage[]> {
  return await Array.fromAsync(walkTaggedImages(store, options));
}

/** Yields the tagged images of a store, sorted by reference, one at a time. */
export async function* walkTaggedImages(
  store: TaggedStore,
  { atOnce = 1 }: ImageWalkOptions = {},
): AsyncGenerator<TaggedImage> {
  const describe = async ({ repo, tag, digest, date: tagged }: TagLink & { readonly repo: string }) => {
    const root = await store.resolve(repo, digest);
    if (root === undefined) return undefined;
    const measured = await measureImage(store, repo, root);
    return { reference: `${repo}:${tag}`, digest, mediaType: root.mediaType, tagged, ...measured };
  };
  for await (const image of mapInOrder(walkTags(store, atOnce), atOnce, describe)) {
    if (image !== undefined) yield image;
  }
}

async function* walkTags(store: TaggedStore, atOnce: number): AsyncGenerator<TagLink & { readonly repo: string }> {
  const list = async (repo: string) => (await store.listTagLinks(repo)).map((link) => ({ repo, ...link }));
  for await (const links of mapInOrder(walkRepositories(store), atOnce, list)) yield* links;
}

// In pages, so that a list of all names is never in memory.
async function* walkRepositories(store: TaggedStore): AsyncGenerator<string> {
  let page = await store.listRepositories({ limit: REPOSITORIES_AT_ONCE });
  yield* page.repositories;
  while (page.isMore) {
    page = await store.listRepositories({ after: page.repositories.at(-1), limit: REPOSITORIES_AT_ONCE });
    yield* page.repositories;
  }
}

async function measureImage(
  store: TaggedStore,
  repo: string,
  root: Descriptor,
): Promise<Pick<TaggedImage, "platforms" | "size" | "isComplete">> {
  const sizes = new Map<Digest, number>();
  const platforms = new Set<string>();
  const addPlatform = (platform: Platform | undefined) => {
    if (platform !== undefined && !isUnknownPlatform(platform)) platforms.add(formatPlatform(platform));
  };
  const hasBlob = async ({ digest, size: expected }: Descriptor): Promise<boolean> => {
    const size = await store.statBlob(repo, digest);
    if (size !== undefined) sizes.set(digest, size);
    return size === expected;
  };
  const { isComplete } = await walkImage<{ isComplete: boolean; isImage?: boolean }>(root, {
    read: async ({ digest, mediaType }) => {
      const bytes = await store.readManifest(repo, digest);
      return bytes && { bytes, manifest: parseManifest(bytes, mediaType) };
    },
    missing: () => ({ isComplete: false }),
    visit: async ({ entry, bytes, manifest, manifests, blobs }, below) => {
      sizes.set(entry.digest, bytes.length);
      let hasImage = manifests.length === 0;
      for (const child of manifests) {
        const found = await below(child);
        hasImage ||= found.isComplete;
        if (found.isComplete && found.isImage) addPlatform(child.platform);
      }
      let isComplete = hasImage;
      for (const blob of blobs) if (!await hasBlob(blob)) isComplete = false;
      const isImage = manifest.kind !== "index";
      if (isComplete && isImage && entry.platform === undefined) {
        addPlatform(await readPlatform(store, repo, manifest.config));
      }
      return { isComplete, isImage };
    },
  });
  // Each blob is counted once.
  return { platforms: [...platforms], size: [...sizes.values()].reduce((sum, bytes) => sum + bytes, 0), isComplete };
}

/** Reads the platform from the config of an image; `undefined` if the config is missing or names none. */
async function readPlatform(
  store: TaggedStore,
  repo: string,
  config: Descriptor | undefined,
): Promise<Platform | undefined> {
  if (config === undefined) return undefined;
  const opened = await store.openBlob(repo, config.digest);
  if (opened === undefined) return undefined;
  try {
    return platformOfConfig(parseJson(await readBounded(opened.body, "the config", MAX_CONFIG_BYTES), "the config"));
  } catch (error) {
    // The config of an artifact can be in any format, and of any size.
    if (error instanceof CorruptError) return undefined;
    throw error;
  }
}
