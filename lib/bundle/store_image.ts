import { runBounded } from "../content/bounded_tasks.ts";
import { readSmallBlob } from "../content/read_small_blob.ts";
import type { ContentStore } from "../content/source.ts";
import { tagManifest } from "../content/tag_manifest.ts";
import type { Digest } from "../oci/digest.ts";
import { cannot, IncompleteError, RegistryError } from "../oci/error.ts";
import { inlineDataOf } from "../oci/inline_data.ts";
import { type Descriptor, MAX_MANIFEST_BYTES, parseManifest, successorsOf } from "../oci/manifest.ts";
import { formatReference, repositoryOf } from "../oci/reference.ts";
import type { FiledImage } from "./image_file.ts";
import { readGraph } from "./image_graph.ts";

/** A store that images are loaded into. */
export interface LoadStore extends ContentStore {
  /**
   * Stores content before a repository links to it, and returns its digest.
   *
   * @throws {DigestMismatchError} when it does not have the expected digest
   */
  addBlob(body: ReadableStream<Uint8Array>, expected?: Digest): Promise<Digest>;
  /**
   * Links a blob of the store to a repository, so that it stays, where others may remove what nothing refers to. Returns
   * `false` when it has just been removed.
   */
  keepBlob(repository: string, digest: Digest): Promise<boolean>;
}

/** Options of `storeImage`. */
export interface StoreImageOptions {
  /** Name of the file in errors. */
  readonly what: string;
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
  store: LoadStore,
  { what, warn }: StoreImageOptions,
): Promise<LoadedImage> {
  const { reference, digest } = image;
  const [name, repository] = [formatReference(reference), repositoryOf(reference)];
  const missing = new Set<Digest>();
  const { manifests } = await readGraph({ reference, name, digest }, {
    what,
    readManifest: (_, it) => readSmallBlob(store, "", { digest: it, limit: MAX_MANIFEST_BYTES }),
    statBlob: async (it, descriptor) => await store.statBlob("", it) ?? await addInline(descriptor, store),
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
    if (await store.keepBlob(repository, blob)) return;
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

// The content of a descriptor that carries it need not be in the archive.
async function addInline(descriptor: Descriptor, store: LoadStore): Promise<number | undefined> {
  const data = inlineDataOf(descriptor);
  if (data === undefined) return undefined;
  await store.addBlob(new Blob([data]).stream(), descriptor.digest);
  return data.length;
}

function contentOf(bytes: Uint8Array, { mediaType }: Descriptor): readonly Descriptor[] {
  const manifest = parseManifest(bytes, mediaType);
  return manifest.kind === "index" ? [] : successorsOf(manifest);
}
