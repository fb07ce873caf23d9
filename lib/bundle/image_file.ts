import { ByteReader, openByteSource, streamBytes } from "../bytes/byte_reader.ts";
import { readBounded } from "../bytes/read_bounded.ts";
import { verifyBytes } from "../content/verifier.ts";
import type { KubePkg } from "../kubepkg/kubepkg.ts";
import { PACKED_LIMITS, readKubePkgsJson } from "../kubepkg/read_kubepkg.ts";
import { referrersOf } from "../kubepkg/referrers_of.ts";
import { subjectOfCosignTag } from "../oci/cosign_tag.ts";
import type { Digest } from "../oci/digest.ts";
import { cannot, CorruptError, CrpeError } from "../oci/error.ts";
import { MAX_MANIFEST_BYTES, parseManifest } from "../oci/manifest.ts";
import { formatReference, parseReference, type Reference, repositoryOf } from "../oci/reference.ts";
import { ENTRY_NAME, parseBlobEntryName } from "./entry_names.ts";
import { ARCHIVE_LIMITS, parseArchiveIndex } from "./image_documents.ts";
import type { ImageEntries } from "./image_entries.ts";
import { type ImageGraph, readGraph } from "./image_graph.ts";
import type { AttachedImages } from "./referrer_graphs.ts";

/** An image of an `ImageFile`. */
export interface FiledImage {
  readonly reference: Reference;
  readonly digest: Digest;
}

interface Place {
  /** Its number in the file. */
  readonly number: number;
  readonly size: number;
}

const MAX_FILES = 100_000;
// Manifests are read in any order: small files are kept, so that the file is not read once for each of them.
const MAX_KEPT_BYTES = 256 * 1024;
const MAX_KEPT_TOTAL = 16 * 1024 * 1024;

/**
 * The images in a file: a bundle, an archive of `crpe save` or of other tools with an image layout, or the folder of one.
 * It is read once from end to end, and then again for its blobs, in one go if they are opened in the order of the file.
 * One blob is open at a time.
 */
export class ImageFile {
  /** The images with a name; several names of one image are several images. */
  readonly images: readonly FiledImage[];
  /** The packages of a bundle. */
  readonly packages: readonly KubePkg[];
  readonly #what: string;
  readonly #open: () => Promise<ImageEntries>;
  readonly #places: ReadonlyMap<Digest, Place>;
  readonly #kept: ReadonlyMap<Digest, Uint8Array>;
  readonly #referrers: readonly FiledImage[];
  #entries: ImageEntries | undefined;
  /** Reads the blob that is open. */
  #blob: ByteReader | undefined;
  /** The number of the file that is read next. */
  #next = 0;

  private constructor(file: {
    readonly what: string;
    readonly open: () => Promise<ImageEntries>;
    readonly images: readonly FiledImage[];
    readonly packages: readonly KubePkg[];
    readonly places: ReadonlyMap<Digest, Place>;
    readonly kept: ReadonlyMap<Digest, Uint8Array>;
    readonly referrers: readonly FiledImage[];
  }) {
    this.images = file.images;
    this.packages = file.packages;
    this.#what = file.what;
    this.#open = file.open;
    this.#places = file.places;
    this.#kept = file.kept;
    this.#referrers = file.referrers;
  }

  /**
   * Reads the names in a file.
   *
   * @param open opens the file, also again
   * @param what its name in errors
   * @throws {CorruptError} when the file is not valid
   * @throws {Error} when it has no image layout, or names no image
   */
  static async read(open: () => Promise<ImageEntries>, what: string): Promise<ImageFile> {
    const entries = await open();
    const places = new Map<Digest, Place>();
    const kept = new Map<Digest, Uint8Array>();
    const documents = new Map<string, Uint8Array>();
    let [number, keptBytes] = [0, 0];
    try {
      for (let entry = await entries.next(); entry !== undefined; entry = await entries.next()) {
        const { name, size } = entry;
        if (number === MAX_FILES) throw new CorruptError(cannot(`copy ${what}`, `it has more than ${MAX_FILES} files`));
        if (name.startsWith("pieces/")) {
          throw new CrpeError(
            cannot(`copy ${what}`, "it is a part of a split bundle", "import it, and copy the images by name"),
          );
        }
        const digest = parseBlobEntryName(name);
        const limit = name === ENTRY_NAME.index
          ? ARCHIVE_LIMITS.maxBytes
          : name === ENTRY_NAME.kubepkg
          ? PACKED_LIMITS.maxBytes
          : undefined;
        if (limit !== undefined) documents.set(name, await readBounded(await entry.open(), name, limit));
        else if (digest !== undefined && !places.has(digest)) {
          places.set(digest, { number, size });
          if (size <= MAX_KEPT_BYTES && keptBytes + size <= MAX_KEPT_TOTAL) {
            kept.set(digest, await readBounded(await entry.open(), name, MAX_KEPT_BYTES));
            keptBytes += size;
          }
        }
        number++;
      }
    } finally {
      await entries.cancel();
    }
    const kubepkg = documents.get(ENTRY_NAME.kubepkg);
    const packages = kubepkg === undefined ? [] : readKubePkgsJson(kubepkg, `${ENTRY_NAME.kubepkg} of ${what}`);
    const { images, referrers } = listImages(documents.get(ENTRY_NAME.index), what);
    referrers.push(...packages.flatMap(listReferrers));
    return new ImageFile({ what, open, images, packages, places, kept, referrers });
  }

  /**
   * Reads the manifests of an image that the file has. Content that it does not have is not an error: the registry may
   * have it.
   *
   * @throws {CorruptError} when a manifest is malformed
   */
  async readGraph({ reference, digest }: FiledImage): Promise<ImageGraph> {
    return await readGraph({ reference, digest, name: formatReference(reference) }, {
      what: this.#what,
      readManifest: (_, it) => this.#readManifest(it),
      statBlob: (it) => Promise.resolve(this.#places.get(it)?.size),
    }, new Set());
  }

  /**
   * Reads what the file has that is attached to the manifests of an image.
   *
   * @throws {CorruptError} when a manifest is malformed
   */
  async readAttached({ repository, manifests }: ImageGraph): Promise<AttachedImages> {
    const subjects = new Set(manifests.map(({ descriptor }) => descriptor.digest));
    const candidates = new Map<string, ImageGraph>();
    const problems: string[] = [];
    for (const image of this.#referrers.filter(({ reference }) => repositoryOf(reference) === repository)) {
      const { tag } = image.reference;
      const tagged = tag === undefined ? undefined : subjectOfCosignTag(tag);
      // Another tag is that of an image.
      if (tag !== undefined && tagged === undefined) continue;
      const graph = await this.readGraph(image);
      const root = graph.manifests.at(-1);
      if (root?.descriptor.digest !== image.digest) {
        problems.push(`its referrer ${image.digest} is left out: ${this.#what} does not have it`);
        continue;
      }
      const subject = tagged ?? parseManifest(root.bytes).subject?.digest;
      if (subject !== undefined) candidates.set(formatReference(image.reference), { ...graph, subject });
    }
    const graphs: ImageGraph[] = [];
    // What is attached to a referrer may be listed before it.
    for (let count = -1; count < graphs.length;) {
      count = graphs.length;
      for (const [name, graph] of candidates) {
        if (!subjects.has(graph.subject!)) continue;
        candidates.delete(name);
        subjects.add(graph.digest);
        graphs.push(graph);
      }
    }
    return { graphs, problems };
  }

  /** The position of a blob in the order of the file. */
  orderOf(digest: Digest): number {
    return this.#places.get(digest)?.number ?? Infinity;
  }

  /** Opens a blob, `undefined` if the file does not have it. Its digest is not verified. */
  async openBlob(digest: Digest, start = 0): Promise<ReadableStream<Uint8Array> | undefined> {
    const place = this.#places.get(digest);
    if (place === undefined) return undefined;
    const kept = this.#kept.get(digest);
    if (kept !== undefined) return new Blob([kept.slice(start)]).stream();
    await this.#blob?.cancel();
    if (this.#entries === undefined || this.#next > place.number) {
      await this.close();
      this.#entries = await this.#open();
    }
    for (;;) {
      const entry = await this.#entries.next();
      if (entry === undefined) throw new CorruptError(cannot(`copy ${this.#what}`, "it has changed while it was read"));
      if (this.#next++ < place.number) continue;
      this.#blob = new ByteReader(openByteSource(await entry.open()), entry.name);
      await this.#blob.skip(start);
      return streamBytes(this.#blob);
    }
  }

  /** Closes the file. */
  async close(): Promise<void> {
    await this.#blob?.cancel();
    this.#blob = undefined;
    await this.#entries?.cancel();
    this.#entries = undefined;
    this.#next = 0;
  }

  async #readManifest(digest: Digest): Promise<Uint8Array | undefined> {
    const place = this.#places.get(digest);
    if (place === undefined) return undefined;
    const bytes = this.#kept.get(digest) ??
      await readBounded((await this.openBlob(digest))!, digest, MAX_MANIFEST_BYTES);
    verifyBytes(bytes, digest, place.size);
    return bytes;
  }
}

function listReferrers(kubepkg: KubePkg): FiledImage[] {
  return referrersOf(kubepkg).map(({ name, digest, tag }) => {
    return { digest, reference: parseReference(tag === undefined ? `${name}@${digest}` : `${name}:${tag}`) };
  });
}

interface ListedImages {
  readonly images: readonly FiledImage[];
  readonly referrers: FiledImage[];
}

function listImages(index: Uint8Array | undefined, what: string): ListedImages {
  if (index === undefined) {
    throw new CrpeError(
      cannot(`copy ${what}`, "it has no index.json", `load it first (crpe load ${what}), and copy the images by name`),
    );
  }
  const listed = parseArchiveIndex(index, what);
  const named = listed.flatMap(({ reference, digest, isReferrer }) => {
    return reference === undefined ? [] : [{ reference, digest, isReferrer }];
  });
  const images = named.filter(({ isReferrer }) => !isReferrer);
  if (images.length > 0) return { images, referrers: named.filter(({ isReferrer }) => isReferrer) };
  throw new CrpeError(
    cannot(`copy ${what}`, "it names no image", `load it first with a name (crpe load ${what} --name IMAGE)`),
  );
}
