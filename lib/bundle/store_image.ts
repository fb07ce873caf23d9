import { runBounded } from "../content/bounded_tasks.ts";
import { readSmallBlob } from "../content/read_small_blob.ts";
import type { ContentStore } from "../content/source.ts";
import { tagManifest } from "../content/tag_manifest.ts";
import type { Digest } from "../oci/digest.ts";
import { cannot, IncompleteError, RegistryError } from "../oci/error.ts";
import { type Descriptor, MAX_MANIFEST_BYTES, parseManifest, successorsOf } from "../oci/manifest.ts";
import { formatReference, repositoryOf } from "../oci/reference.ts";
import type { FiledImage } from "./image_file.ts";
import { readGraph } from "./image_graph.ts";

/** Options of `storeImage`. */
export interface StoreImageOptions {
  /** Name of the file in errors. */
  readonly what: string;
  /**
   * Links a blob of the store to a repository, so that it stays, where others may remove what nothing refers to. Returns
   * `false` when it has just been removed.
   */
  readonly keepBlob?: ((repository: string, digest: Digest) => Promise<boolean>) | undefined;
  readonly warn?: (message: string) => void;
}

/** An image that was loaded. */
export interface LoadedImage {
  readonly reference: string;
  readonly digest: Digest;
  /** Size of all its content, in bytes. */
  readonly size: number;
}

const CONCURRENT_LINKS = 16;

/**
 * Gives content that a store has the name of an image: its manifests, and then the tag.
 *
 * @throws {IncompleteError} when the store does not have all of it
 * @throws {RegistryError} `UNAVAILABLE` when another process has just removed some of it
 */
export async function storeImage(
  image: FiledImage,
  store: ContentStore,
  options: StoreImageOptions,
): Promise<LoadedImage> {
  const { what, warn, keepBlob } = options;
  const { reference, digest } = image;
  const [name, repository] = [formatReference(reference), repositoryOf(reference)];
  const missing = new Set<Digest>();
  const { manifests } = await readGraph({ reference, name, digest }, {
    what,
    readManifest: (_, it) => readSmallBlob(store, "", { digest: it, limit: MAX_MANIFEST_BYTES }),
    statBlob: (it) => store.statBlob("", it),
  }, missing);
  if (missing.size > 0) {
    throw new IncompleteError(
      cannot(`load ${name}`, `${what} does not have all its content; missing: ${[...missing].slice(0, 3).join(", ")}`),
      [...missing],
    );
  }
  const blobs = new Map(
    manifests.flatMap(({ descriptor, bytes }) => contentOf(bytes, descriptor)).map(
      ({ digest, size }) => [digest, size],
    ),
  );
  await runBounded(blobs.keys(), CONCURRENT_LINKS, async (blob) => {
    if (await keepBlob?.(repository, blob) ?? true) return;
    const reason = `a garbage collection has just removed ${blob}; load it again`;
    throw new RegistryError("UNAVAILABLE", cannot(`load ${name}`, reason));
  });
  const sizes = new Map(blobs);
  for (const { descriptor, bytes } of manifests) {
    await store.writeManifest(repository, descriptor, bytes);
    sizes.set(descriptor.digest, descriptor.size);
  }
  const tag = reference.tag;
  if (tag !== undefined && !await tagManifest({ store, repository, tag }, manifests.at(-1)!.bytes)) {
    warn?.(`${name} stays as it is: it has signatures that ${what} lacks, and the other way round`);
  }
  return { reference: name, digest, size: [...sizes.values()].reduce((sum, size) => sum + size, 0) };
}

function contentOf(bytes: Uint8Array, { mediaType }: Descriptor): readonly Descriptor[] {
  const manifest = parseManifest(bytes, mediaType);
  return manifest.kind === "index" ? [] : successorsOf(manifest);
}
