import { BLOCK_BYTES, formatTarFiles, formatTarFolder, formatTarHeader, paddedSize } from "../archive/tar_header.ts";
import { joinChunks } from "../bytes/join_chunks.ts";
import { readSmallBlob } from "../content/read_small_blob.ts";
import type { ContentSource } from "../content/source.ts";
import { Verifier } from "../content/verifier.ts";
import { computeDigest, type Digest } from "../oci/digest.ts";
import { cannot, CorruptError } from "../oci/error.ts";
import type { Descriptor } from "../oci/manifest.ts";
import type { Platform } from "../oci/platform.ts";
import { formatReference } from "../oci/reference.ts";
import { type ArchivedImage, selectPlatforms } from "./archive_images.ts";
import { END_BYTES, type LaidOutImage, listLayoutDocuments } from "./bundle_layout.ts";
import { isImageConfig } from "./docker_manifest.ts";
import { blobEntryName } from "./entry_names.ts";
import { ARCHIVE_LIMITS } from "./image_documents.ts";
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
  /** The tagged images that docker and podman do not find: artifacts, and images of which not all layers are there. */
  readonly notForDocker: readonly string[];
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
export async function planImageArchive(
  graphs: readonly ImageGraph[],
  store: Pick<ContentSource, "openBlob">,
  platforms: readonly Platform[] | "all",
): Promise<ImageArchive> {
  const images: (ArchivedImage & { readonly graph: ImageGraph })[] = [];
  for (const graph of graphs) {
    // A referrer may look like an image of another platform, or like one that docker could not unpack.
    const isReferrer = graph.subject !== undefined;
    const selected = selectPlatforms(graph, isReferrer ? "all" : platforms);
    if (selected === undefined) continue;
    const isForDocker = !isReferrer && await hasImageConfig(selected, graph.repository, store);
    images.push({ ...selected, graph, image: isForDocker ? selected.image : undefined });
  }
  const written = new Set(images.map(({ graph }) => graph));
  const blobs = new Map<Digest, ArchivedBlob>();
  for (const { graph: { repository }, content, manifests } of images) {
    for (const descriptor of content) blobs.set(descriptor.digest, { descriptor, repository, bytes: undefined });
    for (const { descriptor, bytes } of manifests) blobs.set(descriptor.digest, { descriptor, repository, bytes });
  }
  const documents = listLayoutDocuments(
    images.map(({ graph: { reference, subject }, root, image }): LaidOutImage => {
      return { reference, descriptor: root, image, isReferrer: subject !== undefined };
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
    notForDocker: images.flatMap(({ graph: { reference, subject }, image }) => {
      const isMissed = subject === undefined && reference.tag !== undefined && image === undefined;
      return isMissed ? [formatReference(reference)] : [];
    }),
    size: entries.reduce((sum, { descriptor }) => sum + sizeOfEntry(descriptor), head.length + END_BYTES),
    head,
    readBody: () => readBody(entries, store),
  };
}

// podman loads nothing of an archive of which one config is not that of an image.
async function hasImageConfig(
  { image }: ArchivedImage,
  repository: string,
  store: Pick<ContentSource, "openBlob">,
): Promise<boolean> {
  if (image === undefined || image.config.size > ARCHIVE_LIMITS.maxBytes) return false;
  const limit = ARCHIVE_LIMITS.maxBytes;
  const bytes = await readSmallBlob(store, repository, { digest: image.config.digest, limit });
  // A config that is missing is an error when the archive is written.
  return bytes === undefined || isImageConfig(bytes, image.layers.length);
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
