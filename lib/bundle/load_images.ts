import { detectCompression } from "../archive/decompress.ts";
import { ByteReader, openByteSource, streamBytes } from "../bytes/byte_reader.ts";
import { readBounded } from "../bytes/read_bounded.ts";
import { readSmallBlob } from "../content/read_small_blob.ts";
import { DigestMismatchError } from "../content/verifier.ts";
import { computeDigest, type Digest } from "../oci/digest.ts";
import { cannot, CorruptError, CrpeError, RefusedError } from "../oci/error.ts";
import { parseJson } from "../oci/json.ts";
import { MEDIA_TYPE } from "../oci/manifest.ts";
import { formatReference, type Reference } from "../oci/reference.ts";
import { listsImages, parseBlobEntryName, resolveEntryName } from "./entry_names.ts";
import {
  ARCHIVE_LIMITS,
  diffIdsOf,
  type DockerImage,
  HEAD_BYTES,
  isConfigOrLayer,
  MAX_CONFIG_BYTES,
  parseArchiveIndex,
  parseDockerManifest,
} from "./image_documents.ts";
import type { ImageEntries, ImageEntry, ReadProgress } from "./image_entries.ts";
import type { FiledImage } from "./image_file.ts";
import { type LoadedImage, type LoadStore, storeImage, type StoreImageOptions } from "./store_image.ts";
import { describeForeignEntry, otherArchive } from "./other_archive.ts";

/** Options of `loadImages`. */
export interface LoadOptions extends StoreImageOptions {
  /** The name of the image, for an archive with one image. Its tag may be left out if the archive has one. */
  readonly name?: Reference | undefined;
  readonly onProgress?: (progress: ReadProgress) => void;
  /** Receives the images that are skipped because the archive has no names for them: their tags, digests or configs. */
  readonly onUnnamed?: (images: readonly string[]) => void;
}

interface FoundBlob {
  readonly digest: Digest;
  readonly size: number;
  readonly compression: ReturnType<typeof detectCompression>;
}

const MAX_FILES = 100_000;
const MAX_LINK_STEPS = 8;
const UNUSED = /^(?:oci-layout|repositories|kubepkg\.json(?:\.sig)?|.*\/(?:VERSION|json|repositories))$/;
const NO_BYTES = computeDigest(new Uint8Array());
const LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar";
const CONFIG_TYPE = "application/vnd.oci.image.config.v1+json";

/**
 * Loads the images of an archive into a store: what `docker save`, `podman save`, `ctr image export` and skopeo write, and
 * bundles. An image is tagged after all its content is stored. The caller holds a write lease.
 *
 * @throws {CorruptError} when the archive is not valid
 * @throws {RefusedError} when it has two images with one name. None is tagged then
 * @throws {IncompleteError} when it does not have all content of an image, and neither does the store
 */
export async function loadImages(
  entries: ImageEntries,
  store: LoadStore,
  options: LoadOptions,
): Promise<LoadedImage[]> {
  const archive = new ArchiveContent(entries, store, options);
  try {
    await archive.readAll();
  } catch (error) {
    await entries.cancel(error);
    throw error;
  }
  const loaded: LoadedImage[] = [];
  for (const image of nameOnce(await archive.listImages(), options.what)) {
    loaded.push(await storeImage(image, store, options));
  }
  return loaded;
}

// The tag of two images would stay with the last one.
function nameOnce(images: readonly FiledImage[], what: string): Iterable<FiledImage> {
  const found = new Map<string, FiledImage>();
  for (const image of images) {
    const name = formatReference(image.reference);
    const other = found.get(name)?.digest ?? image.digest;
    if (other !== image.digest) {
      const reason = `it has two images with this name, ${other} and ${image.digest}`;
      throw new RefusedError(cannot(`load ${name} of ${what}`, reason, "give each a name of its own in the archive"));
    }
    found.set(name, image);
  }
  return found.values();
}

class ArchiveContent {
  readonly #entries: ImageEntries;
  readonly #store: LoadStore;
  readonly #options: LoadOptions;
  readonly #blobs = new Map<string, FoundBlob>();
  readonly #documents = new Map<string, Uint8Array>();
  /** The files that are neither a config nor a layer. */
  readonly #others = new Set<string>();
  /** The files that `manifest.json` names, once it is read; empty if `index.json` names the images. */
  #named: ReadonlySet<string> | undefined;
  #files = 0;

  constructor(entries: ImageEntries, store: LoadStore, options: LoadOptions) {
    this.#entries = entries;
    this.#store = store;
    this.#options = options;
  }

  async readAll(): Promise<void> {
    for (let entry = await this.#entries.next(); entry !== undefined; entry = await this.#entries.next()) {
      if (++this.#files > MAX_FILES) throw this.#refuse(`it has more than ${MAX_FILES} files`);
      const { name, size } = entry;
      if (listsImages(name)) {
        if (size > ARCHIVE_LIMITS.maxBytes) throw this.#refuse(`its ${name} has ${size} bytes`);
        this.#documents.set(name, await readBounded(await entry.open(), name, ARCHIVE_LIMITS.maxBytes));
      } else {
        const foreign = describeForeignEntry(name);
        if (foreign !== undefined) throw otherArchive(cannot(`load ${this.#options.what}`, foreign));
        if (!UNUSED.test(name) && this.#isNeeded(name)) await this.#addContent(entry);
      }
      this.#reportProgress();
    }
    this.#reportProgress();
    this.#checkDocuments();
  }

  #checkDocuments(): void {
    if (this.#documents.size > 0) return;
    const reason = "it has no index.json and no manifest.json: it is no image archive";
    throw otherArchive(cannot(`load ${this.#options.what}`, reason));
  }

  // A folder may be one with backups beside the image.
  #isNeeded(name: string): boolean {
    if (!this.#entries.isIndexFirst) return true;
    this.#checkDocuments();
    if (parseBlobEntryName(name) !== undefined) return true;
    const listNames = () => this.#listDescribed().flatMap(({ config, layers }) => [config, ...layers]);
    return (this.#named ??= new Set(listNames().map((it) => resolveEntryName("", it)))).has(name);
  }

  async #addContent(entry: ImageEntry): Promise<void> {
    const [{ name, size }, expected] = [entry, parseBlobEntryName(entry.name)];
    const isHeld = expected !== undefined && await this.#store.statBlob("", expected) === size;
    const reader = new ByteReader(openByteSource(await entry.open()), name);
    try {
      const head = await reader.peek(HEAD_BYTES);
      if (expected === undefined && !isConfigOrLayer(head, size)) return void this.#others.add(name);
      const compression = detectCompression(head);
      const isEmpty = expected === undefined && size === 0;
      const digest = isHeld ? expected : isEmpty ? NO_BYTES : await this.#addBlob(reader, expected);
      this.#blobs.set(name, { digest, size, compression });
    } catch (cause) {
      if (!(cause instanceof DigestMismatchError)) throw cause;
      throw new CorruptError(cannot(`load ${this.#options.what}`, `${name} is damaged: ${cause.reason}`), { cause });
    } finally {
      await reader.cancel();
    }
  }

  async #addBlob(reader: ByteReader, expected: Digest | undefined): Promise<Digest> {
    const read = async (most: number) => {
      const piece = await reader.read(most);
      this.#reportProgress();
      return piece;
    };
    return await this.#store.addBlob(streamBytes({ read }), expected);
  }

  /** The images with their names. */
  async listImages(): Promise<FiledImage[]> {
    const { what } = this.#options;
    const listed = this.#listIndexed();
    const named = this.#applyName(listed);
    if (named.length > 0) {
      const digests = new Set(named.map(({ digest }) => digest));
      this.#reportUnnamed(listed.filter((it) => !digests.has(it.digest)).map(({ tag, digest }) => tag ?? digest));
      return named;
    }
    const images: FiledImage[] = [];
    const unnamed: string[] = [];
    const described = this.#listDescribed();
    const { name } = this.#options;
    if (name !== undefined && described.length > 1) throw this.#refuseName(described.length);
    for (const image of described) {
      const references = name === undefined ? image.references : [withTag(name, image.references[0]?.tag)];
      if (references.length === 0) {
        unnamed.push(image.config);
        continue;
      }
      const digest = await this.#addManifest(image);
      images.push(...references.map((reference) => ({ reference: withTag(reference, undefined), digest })));
    }
    if (images.length > 0) {
      this.#reportUnnamed(unnamed);
      return images;
    }
    const tag = listed.find((it) => it.tag !== undefined)?.tag;
    throw new CrpeError(
      cannot(
        `load ${what}`,
        `it names no image${tag === undefined ? "" : `, only the tag ${tag}`}`,
        "give the name with --name, such as --name registry.example/team/app",
      ),
    );
  }

  #listIndexed(): ReturnType<typeof parseArchiveIndex> {
    const index = this.#documents.get("index.json");
    return index === undefined ? [] : parseArchiveIndex(index, this.#options.what);
  }

  // It is not read when `index.json` names the images.
  #listDescribed(): DockerImage[] {
    const docker = this.#documents.get("manifest.json");
    if (docker === undefined || this.#applyName(this.#listIndexed()).length > 0) return [];
    return parseDockerManifest(docker, this.#options.what);
  }

  #reportUnnamed(images: readonly string[]): void {
    if (images.length > 0) this.#options.onUnnamed?.(images);
  }

  // Referrers keep their tag or digest, in the repository of the name.
  #applyName(listed: ReturnType<typeof parseArchiveIndex>): FiledImage[] {
    const { name } = this.#options;
    const count = listed.filter(({ isReferrer }) => !isReferrer).length;
    if (name !== undefined && count > 1) throw this.#refuseName(count);
    return listed.flatMap(({ digest, tag, reference, isReferrer }) => {
      if (name !== undefined && !isReferrer) return [{ digest, reference: withTag(name, tag ?? reference?.tag) }];
      if (reference === undefined) return [];
      const { host, path } = name ?? reference;
      return [{ digest, reference: withTag({ ...reference, host, path }, undefined) }];
    });
  }

  // The archives of docker before 25, and those of podman, have no manifests: an OCI manifest is made of the config and
  // the layers, as they are.
  async #addManifest({ config, layers }: DockerImage): Promise<Digest> {
    const configBlob = this.#find(config);
    const bytes = await readSmallBlob(this.#store, "", { digest: configBlob.digest, limit: MAX_CONFIG_BYTES });
    if (bytes === undefined) throw this.#refuse(`the config ${config} is missing in the store`);
    const diffIds = diffIdsOf(parseJson(bytes, `${config} of ${this.#options.what}`, ARCHIVE_LIMITS));
    if (diffIds?.length !== layers.length) {
      throw this.#refuse(`the config ${config} does not have the ${layers.length} layers of its image`);
    }
    const blobs = layers.map((layer) => this.#find(layer));
    if (blobs.some(({ digest }) => digest === NO_BYTES)) await this.#store.addBlob(new Blob([]).stream(), NO_BYTES);
    const found = blobs.map((blob, i) => {
      if (blob.compression === "none" && blob.digest !== diffIds[i]) {
        const reason = `its digest is ${blob.digest}, the config says ${diffIds[i]}`;
        throw this.#refuse(`the layer ${layers[i]} is damaged: ${reason}`);
      }
      const suffix = blob.compression === "none" ? "" : `+${blob.compression}`;
      return { mediaType: `${LAYER_TYPE}${suffix}`, digest: blob.digest, size: blob.size };
    });
    const document = {
      schemaVersion: 2,
      mediaType: MEDIA_TYPE.ociManifest,
      config: { mediaType: CONFIG_TYPE, digest: configBlob.digest, size: configBlob.size },
      layers: found,
    };
    const manifest = new TextEncoder().encode(JSON.stringify(document));
    return await this.#store.addBlob(new Blob([manifest]).stream(), computeDigest(manifest));
  }

  // `manifest.json` may say `./a/layer.tar`.
  #find(name: string): FoundBlob {
    let at = resolveEntryName("", name);
    for (let steps = 0; steps < MAX_LINK_STEPS; steps++) {
      const blob = this.#blobs.get(at);
      if (blob !== undefined) return blob;
      const target = this.#entries.links.get(at);
      if (target === undefined) break;
      at = resolveEntryName(at, target);
    }
    const fault = this.#others.has(at) ? "neither a JSON object nor a tar (plain, gzip or zstd)" : "missing";
    throw this.#refuse(`its manifest.json names ${JSON.stringify(name.slice(0, 200))}, which is ${fault}`);
  }

  #reportProgress(): void {
    this.#options.onProgress?.(this.#entries.progress);
  }

  #refuse(reason: string): CorruptError {
    return new CorruptError(cannot(`load ${this.#options.what}`, reason));
  }

  #refuseName(count: number): Error {
    const reason = `it has ${count} images, so that --name cannot name them`;
    return new CrpeError(cannot(`load ${this.#options.what}`, reason));
  }
}

function withTag({ host, path, tag, digest }: Reference, other: string | undefined): Reference {
  if (tag === undefined && other === undefined && digest !== undefined) return { host, path, digest };
  return { host, path, tag: tag ?? other ?? "latest" };
}
