import { readSmallBlob } from "../content/read_small_blob.ts";
import type { ContentSource } from "../content/source.ts";
import { compareVersions } from "../kubepkg/compare_versions.ts";
import { isVersion } from "../kubepkg/kubepkg.ts";
import type { Digest } from "../oci/digest.ts";
import { CorruptError } from "../oci/error.ts";
import { isJsonObject, parseJson } from "../oci/json.ts";
import { type Descriptor, parseManifest } from "../oci/manifest.ts";
import { formatPlatform, normalizePlatform, platformOfConfig } from "../oci/platform.ts";
import type { CarriedManifest } from "./bundle_plan.ts";
import { MAX_CONFIG_BYTES } from "./image_documents.ts";

/** A store in which older images are found. */
export interface OldImageStore extends ContentSource {
  /** Lists the digests of the manifests filed under a repository. */
  listManifests(repo: string): Promise<Digest[]>;
}

/** What the site holds of a repository. */
interface OldImageQuery {
  readonly repository: string;
  /** The digests that the site holds. */
  readonly have: Pick<ReadonlySet<Digest>, "has">;
}

interface OldImage {
  readonly digest: Digest;
  readonly layers: readonly Descriptor[];
  /** The date of the config, in RFC 3339; "" if it has none. */
  readonly created: string;
  /** Total size of the layers that the new image has too, in bytes. */
  readonly shared: number;
}

const NUMERIC = new Intl.Collator("en", { numeric: true });

/**
 * Finds the layers of the older image that a new one was most likely made from: an image of the same repository and
 * platform that the site holds, the one that shares most with the new image, of equal ones the latest, and of equal dates
 * (reproducible builds have the date 1970) the one with the highest tag. Layers that both have are left out, unless the
 * new image only adds layers.
 *
 * @param manifest the manifest of the new image for one platform
 * @returns the layers that both the site and the store hold; empty when there is no older image
 */
export async function findOldLayers(
  manifest: CarriedManifest,
  store: OldImageStore,
  query: OldImageQuery,
): Promise<Descriptor[]> {
  const { repository, have } = query;
  const own = new Set(manifest.blobs.map(({ digest }) => digest));
  const found: OldImage[] = [];
  for (const digest of await store.listManifests(repository)) {
    if (!have.has(digest) || digest === manifest.descriptor.digest) continue;
    const image = await readImage(digest, store, { repository, platform: manifest.platform, own });
    if (image !== undefined) found.push(image);
  }
  const compare = (a: OldImage, b: OldImage) => b.shared - a.shared || compareTexts(b.created, a.created);
  const [first] = found.sort(compare);
  const equal = found.filter((image) => compare(image, first!) === 0);
  const best = equal.length > 1 ? await findHighest(equal, store, repository) : first;
  const layers: Descriptor[] = [];
  for (const layer of best?.layers ?? []) {
    const isHeld = have.has(layer.digest) && await store.statBlob(repository, layer.digest) === layer.size;
    if (isHeld && !layers.some(({ digest }) => digest === layer.digest)) layers.push(layer);
  }
  const replaced = layers.filter(({ digest }) => !own.has(digest));
  return replaced.length > 0 ? replaced : layers;
}

async function findHighest(images: readonly OldImage[], store: OldImageStore, repository: string): Promise<OldImage> {
  const byDigest = new Map(images.map((image) => [image.digest, image]));
  const { tags = [] } = await store.listTags(repository) ?? {};
  for (const tag of [...tags].sort(compareTags).reverse()) {
    const digest = (await store.resolve(repository, tag))?.digest;
    if (digest === undefined) continue;
    for (const one of [digest, ...await listPlatforms(digest, store, repository)]) {
      const image = byDigest.get(one);
      if (image !== undefined) return image;
    }
  }
  return [...images].sort((a, b) => compareTexts(a.digest, b.digest))[0]!;
}

// The manifests of an index; none for another manifest, and for one that cannot be read.
async function listPlatforms(digest: Digest, store: OldImageStore, repository: string): Promise<Digest[]> {
  try {
    const bytes = await store.readManifest(repository, digest);
    const manifest = bytes && parseManifest(bytes);
    return manifest?.kind === "index" ? manifest.manifests.map((child) => child.digest) : [];
  } catch (error) {
    if (error instanceof CorruptError) return [];
    throw error;
  }
}

// Tags that are no versions come first, `9` before `10`.
function compareTags(a: string, b: string): number {
  if (isVersion(a) !== isVersion(b)) return isVersion(a) ? 1 : -1;
  return isVersion(a) ? compareVersions(a, b) : NUMERIC.compare(a, b);
}

interface ReadImageOptions extends Pick<OldImageQuery, "repository"> {
  readonly platform: string | undefined;
  readonly own: ReadonlySet<Digest>;
}

// An image that cannot be read, or has another platform, is none to compare with.
async function readImage(
  digest: Digest,
  store: OldImageStore,
  { repository, platform, own }: ReadImageOptions,
): Promise<OldImage | undefined> {
  try {
    const bytes = await store.readManifest(repository, digest);
    const manifest = bytes && parseManifest(bytes);
    if (manifest?.kind !== "manifest" || manifest.config === undefined) return undefined;
    const { layers, config } = manifest;
    const described = await readConfig(config.digest, store, repository);
    if (described === undefined || described.platform !== platform) return undefined;
    const shared = layers.filter((layer) => own.has(layer.digest)).reduce((sum, { size }) => sum + size, 0);
    return { digest, layers, created: described.created, shared };
  } catch (error) {
    if (error instanceof CorruptError) return undefined;
    throw error;
  }
}

async function readConfig(
  digest: Digest,
  store: ContentSource,
  repository: string,
): Promise<{ readonly platform: string; readonly created: string } | undefined> {
  const bytes = await readSmallBlob(store, repository, { digest, limit: MAX_CONFIG_BYTES });
  const json = bytes && parseJson(bytes, "the config", { maxBytes: MAX_CONFIG_BYTES, maxDepth: 128 });
  const platform = platformOfConfig(json);
  if (platform === undefined || !isJsonObject(json)) return undefined;
  const { created } = json;
  return {
    platform: formatPlatform(normalizePlatform(platform)),
    created: typeof created === "string" ? created : "",
  };
}

function compareTexts(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
