import { BLOCK_BYTES, formatTarFiles, formatTarFolder, formatTarHeader, paddedSize } from "../archive/tar_header.ts";
import { joinChunks } from "../bytes/join_chunks.ts";
import type { ContentSource } from "../content/source.ts";
import { Verifier } from "../content/verifier.ts";
import { computeDigest, type Digest } from "../oci/digest.ts";
import { cannot, CorruptError } from "../oci/error.ts";
import type { Descriptor } from "../oci/manifest.ts";
import type { Platform } from "../oci/platform.ts";
import { formatReference } from "../oci/reference.ts";
import { selectPlatforms } from "./archive_images.ts";
import { END_BYTES, type LaidOutImage, listLayoutDocuments } from "./bundle_layout.ts";
import { blobEntryName } from "./entry_names.ts";
import type { ImageGraph } from "./image_graph.ts";

/**
 * Images as one uncompressed tar that `ctr image import`, k3s (`agent/images`), `docker load`, `podman load` and skopeo
 * read: an OCI image layout that also has the `manifest.json` of docker.
 */
export interface ImageArchive {
  /** The references of the images, without those of referrers. */
  readonly images: readonly string[];
  /** The references of images that are not available for any of the platforms, and are left out. */
  readonly skipped: readonly string[];
  /** Size of the file, in bytes. */
  readonly size: number;
  /**
   * The first bytes of the file: its documents, which name all content by digest. With the size they identify the file,
   * since the same images and platforms give the same bytes.
   */
  readonly head: Uint8Array;
  /** The bytes after the head. @throws {CorruptError} when content of the store is missing or damaged */
  readBody(): AsyncGenerator<Uint8Array>;
}

interface ArchivedBlob {
  readonly descriptor: Descriptor;
  /** A repository that has the blob; `undefined` if its bytes are in memory. */
  readonly repository: string | undefined;
  readonly bytes: Uint8Array | undefined;
}

const encoder = new TextEncoder();

/**
 * Plans an archive of images, for some platforms. Where the images' index lists other platforms too, the archive has the
 * manifest of the one platform under the image's name, or an index of those that it carries: k3s imports all platforms,
 * and containerd 1.6 then refuses an index of which a manifest is missing.
 *
 * @param graphs the images and their referrers, with all manifests that `store` has
 */
export function planImageArchive(
  graphs: readonly ImageGraph[],
  store: Pick<ContentSource, "openBlob">,
  platforms: readonly Platform[] | "all",
): ImageArchive {
  const images = graphs.flatMap((graph) => {
    // A referrer may look like an image of another platform.
    const selected = selectPlatforms(graph, graph.subject === undefined ? platforms : "all");
    return selected === undefined ? [] : [{ graph, ...selected }];
  });
  const written = new Set(images.map(({ graph }) => graph));
  const blobs = new Map<Digest, ArchivedBlob>();
  for (const { graph: { repository }, content, manifests } of images) {
    for (const descriptor of content) blobs.set(descriptor.digest, { descriptor, repository, bytes: undefined });
    for (const { descriptor, bytes } of manifests) blobs.set(descriptor.digest, { descriptor, repository, bytes });
  }
  const documents = listLayoutDocuments(
    images.map(({ graph: { reference, subject }, root, image }): LaidOutImage => {
      // Some signatures look like an image, which docker could not unpack.
      return subject === undefined
        ? { reference, descriptor: root, image }
        : { reference, descriptor: root, image: undefined, isReferrer: true };
    }),
  );
  const entries = [...blobs.values()];
  const folders = new Set(entries.map(({ descriptor }) => blobEntryName(descriptor.digest).replace(/[^/]*$/, "")));
  const head = joinChunks([
    formatTarFiles(documents.map(([name, document]) => [name, encoder.encode(`${JSON.stringify(document)}\n`)])),
    // skopeo gives a folder without an entry to root, which fails for any other user.
    ...["blobs/", ...folders].map(formatTarFolder),
  ]);
  return {
    images: images.flatMap(({ graph: { reference, subject } }) => subject ? [] : [formatReference(reference)]),
    skipped: graphs.filter((graph) => !written.has(graph)).map(({ reference }) => formatReference(reference)),
    size: entries.reduce((sum, { descriptor }) => sum + sizeOfEntry(descriptor), head.length + END_BYTES),
    head,
    readBody: () => readBody(entries, store),
  };
}

/** The digest of an archive's head, by which the file is recognized. */
export function headDigestOf({ head }: Pick<ImageArchive, "head">): Digest {
  return computeDigest(head);
}

function sizeOfEntry({ digest, size }: Descriptor): number {
  return formatTarHeader(blobEntryName(digest), size).length + paddedSize(size);
}

async function* readBody(
  entries: readonly ArchivedBlob[],
  store: Pick<ContentSource, "openBlob">,
): AsyncGenerator<Uint8Array> {
  for (const { descriptor, repository, bytes } of entries) {
    const { digest, size } = descriptor;
    if (bytes !== undefined) {
      yield formatTarFiles([[blobEntryName(digest), bytes]]);
      continue;
    }
    yield formatTarHeader(blobEntryName(digest), size);
    const opened = await store.openBlob(repository!, digest);
    if (opened === undefined) throw new CorruptError(cannot(`read ${digest}`, "it is missing in the store"));
    const verifier = new Verifier(digest, size);
    for await (const piece of opened.body) {
      verifier.update(piece);
      yield piece;
    }
    verifier.finish();
    if (size % BLOCK_BYTES !== 0) yield new Uint8Array(paddedSize(size) - size);
  }
  yield new Uint8Array(END_BYTES);
}
