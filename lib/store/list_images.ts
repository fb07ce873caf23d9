import type { Digest } from "../oci/digest.ts";
import { CorruptError } from "../oci/error.ts";
import { isJsonObject, parseJson } from "../oci/json.ts";
import { type Descriptor, isIndexType, isManifestType, parseManifest, successorsOf } from "../oci/manifest.ts";
import { formatPlatform, isUnknownPlatform, type Platform } from "../oci/platform.ts";
import type { TaggedStore } from "./blob_store.ts";

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

/** Lists the tagged images of a store, sorted by reference. */
export async function listTaggedImages(store: TaggedStore): Promise<TaggedImage[]> {
  return await Array.fromAsync(walkTaggedImages(store));
}

/** Yields the tagged images of a store, sorted by reference, one at a time. */
export async function* walkTaggedImages(store: TaggedStore): AsyncGenerator<TaggedImage> {
  for await (const repo of walkRepositories(store)) {
    for (const { tag, digest } of await store.listTagLinks(repo)) {
      const root = await store.resolve(repo, digest);
      if (root === undefined) continue;
      const measure = new ImageMeasure(store, repo);
      const isComplete = await measure.add(root);
      const { size, platforms } = measure;
      const tagged = await store.dateOfTag(repo, tag);
      yield { reference: `${repo}:${tag}`, digest, mediaType: root.mediaType, platforms, size, tagged, isComplete };
    }
  }
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

/** Measures the content of one image that the store has. */
class ImageMeasure {
  readonly #store: TaggedStore;
  readonly #repo: string;
  readonly #sizes = new Map<Digest, number>();
  readonly #platforms = new Set<string>();
  // Small indexes that list each other twice have a number of paths that doubles with each.
  readonly #indexes = new Map<Digest, boolean>();

  constructor(store: TaggedStore, repo: string) {
    this.#store = store;
    this.#repo = repo;
  }

  /** Size of the content, each blob counted once, in bytes. */
  get size(): number {
    return [...this.#sizes.values()].reduce((sum, bytes) => sum + bytes, 0);
  }

  /** Platforms whose content is complete. */
  get platforms(): string[] {
    return [...this.#platforms];
  }

  /** Adds a manifest or index with the content below it. @returns whether it is complete */
  async add(root: Descriptor): Promise<boolean> {
    const known = this.#indexes.get(root.digest);
    if (known !== undefined) return known;
    const bytes = await this.#store.readManifest(this.#repo, root.digest);
    if (bytes === undefined) return false;
    this.#sizes.set(root.digest, bytes.length);
    const manifest = parseManifest(bytes, root.mediaType);
    const [images, blobs]: [boolean[], boolean[]] = [[], []];
    for (const child of successorsOf(manifest)) {
      const isImage = isIndexType(root.mediaType) && isManifestType(child.mediaType);
      if (isImage) images.push(await this.add(child));
      else blobs.push(await this.#addBlob(child));
    }
    const isComplete = !blobs.includes(false) && (images.length === 0 || images.includes(true));
    if (manifest.kind === "index") this.#indexes.set(root.digest, isComplete);
    if (!isComplete || manifest.kind === "index") return isComplete;
    const platform = root.platform ?? await readPlatform(this.#store, this.#repo, manifest.config);
    if (platform !== undefined && !isUnknownPlatform(platform)) this.#platforms.add(formatPlatform(platform));
    return isComplete;
  }

  async #addBlob({ digest, size: expected }: Descriptor): Promise<boolean> {
    const size = await this.#store.statBlob(this.#repo, digest);
    if (size !== undefined) this.#sizes.set(digest, size);
    return size === expected;
  }
}

/** Reads the platform from the config of an image; `undefined` if the config is missing or names none. */
async function readPlatform(
  store: TaggedStore,
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
    // The config of an artifact can be in any format.
    if (error instanceof CorruptError) return undefined;
    throw error;
  }
}
