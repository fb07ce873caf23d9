import {
  formatGzipHead,
  type GzipHead,
  sizeOfRest,
  STORED_BYTES,
  STORED_HEADER_BYTES,
} from "../archive/gzip_writer.ts";
import { BLOCK_BYTES, formatTarFiles, formatTarHeader, paddedSize } from "../archive/tar_header.ts";
import type { KubePkg } from "../kubepkg/kubepkg.ts";
import { PACKED_LIMITS } from "../kubepkg/read_kubepkg.ts";
import type { Digest } from "../oci/digest.ts";
import { type Descriptor, MEDIA_TYPE } from "../oci/manifest.ts";
import { formatReference, type Reference } from "../oci/reference.ts";
import type { SignedDocument } from "../signature/trust_policy.ts";
import type { PlanEntry } from "./bundle_plan.ts";
import { type DockerContent, findDockerImage, formatDockerEntry } from "./docker_manifest.ts";
import { REFERRER_ANNOTATION } from "./image_documents.ts";
import { blobEntryName, type BundleEntryNames, deltaEntryName, ENTRY_NAME, pieceEntryName } from "./entry_names.ts";
import type { PreparedPack } from "./prepare_pack.ts";
import { cannot, CrpeError } from "../oci/error.ts";

/** An entry of a bundle file: a blob or manifest, or a piece of a blob. */
export interface FileEntry extends PlanEntry {
  readonly name: string;
  /** The tar header. */
  readonly header: Uint8Array;
  /** Position in the blob of the first byte that the file carries. */
  readonly start: number;
  /** Number of bytes that the file carries. */
  readonly length: number;
}

/** The layout of a bundle file: everything except the content, so that the position of every byte is known. */
export interface BundleFile {
  /** The beginning of the file: the compressed documents. */
  readonly head: GzipHead;
  readonly entries: readonly FileEntry[];
  /** Size in bytes of the tar after the head. */
  readonly bodySize: number;
  /** Size of the file, in bytes. */
  readonly size: number;
}

/** Number of zero bytes at the end of a tar. */
export const END_BYTES = 2 * BLOCK_BYTES;
const encoder = new TextEncoder();

/** Lays out a bundle that is not split. */
export function layOutBundle(pack: Pick<PreparedPack, "kubepkg" | "images" | "plan" | "sign">): BundleFile {
  const { plan } = pack;
  return layOutFile(
    formatHead(pack),
    plan.entries.map((entry) => createEntry(entry)),
  );
}

/** Lays out a file with a given head and entries. */
export function layOutFile(head: GzipHead, entries: readonly FileEntry[]): BundleFile {
  const bodySize = entries.reduce((sum, entry) => sum + sizeOfEntry(entry), END_BYTES);
  return { head, entries, bodySize, size: head.bytes.length + sizeOfRest(bodySize) };
}

/** Creates an entry for a whole blob or manifest. */
export function createEntry(entry: PlanEntry): FileEntry {
  const { digest, size } = entry.descriptor;
  const name = entry.layer === undefined ? blobEntryName(digest) : deltaEntryName(entry.layer);
  return { ...entry, name, header: formatTarHeader(name, size), start: 0, length: size };
}

/** Creates an entry for a piece of a blob. */
export function createPieceEntry(entry: PlanEntry, start: number, length: number): FileEntry {
  const name = pieceEntryName({ digest: entry.descriptor.digest, start });
  return { ...entry, name, header: formatTarHeader(name, length), start, length };
}

/** Returns the size in bytes of an entry in the tar: header, content and padding. */
export function sizeOfEntry({ header, length }: Pick<FileEntry, "header" | "length">): number {
  return header.length + paddedSize(length);
}

/** Returns the position in the file at which the first `length` bytes of the tar after the head end. */
export function positionInFile({ head }: BundleFile, length: number): number {
  const blocks = Math.ceil(length / STORED_BYTES);
  return head.bytes.length + length + blocks * STORED_HEADER_BYTES;
}

/** Formats `kubepkg.json`. */
export function formatKubePkg(kubepkg: KubePkg): Uint8Array {
  return formatDocument(ENTRY_NAME.kubepkg, kubepkg);
}

/** Formats the head of a part: `kubepkg.json`, with its signatures, is its only document. */
export function formatPartHead(kubepkg: KubePkg, sign: PreparedPack["sign"]): GzipHead {
  return formatGzipHead(formatTarFiles(formatSigned(kubepkg, sign)));
}

// A document and its signatures stand together, so that a reader decides before it reads anything else.
function formatSigned(kubepkg: KubePkg, sign: PreparedPack["sign"]): (readonly [BundleEntryNames, Uint8Array])[] {
  const document = formatKubePkg(kubepkg);
  return [
    [ENTRY_NAME.kubepkg, document],
    ...(sign === undefined ? [] : [[ENTRY_NAME.signatures, encoder.encode(sign(document))] as const]),
  ];
}

// The documents that describe the bundle. They come first, and take a few kilobytes that compress well.
function formatHead(
  { kubepkg, images, plan, sign }: Pick<PreparedPack, "kubepkg" | "images" | "plan" | "sign">,
): GzipHead {
  const omitted: ReadonlySet<Digest> = new Set([...plan.omitted, ...plan.entries.flatMap(({ layer }) => layer ?? [])]);
  const listed = images.map(({ reference, root }): LaidOutImage => {
    const image = findDockerImage(root);
    // An image of which content is left out cannot be loaded.
    const isWhole = image !== undefined && ![image.config, ...image.layers].some(({ digest }) => omitted.has(digest));
    return { reference, descriptor: root.descriptor, image: isWhole ? image : undefined };
  });
  const documents = listLayoutDocuments(listed).map(([name, value]) => [name, formatDocument(name, value)] as const);
  return formatGzipHead(formatTarFiles([...formatSigned(kubepkg, sign), ...documents]));
}

/** An image of an image layout. */
export interface LaidOutImage {
  readonly reference: Reference;
  /** What its name refers to. */
  readonly descriptor: Descriptor;
  /** What docker can load of it. */
  readonly image: DockerContent | undefined;
  /** Whether it is attached to another one. */
  readonly isReferrer?: boolean;
}

/** The documents of an image layout, with the one for docker unless that would list nothing. */
export function listLayoutDocuments(images: readonly LaidOutImage[]): (readonly [BundleEntryNames, unknown])[] {
  const index = { schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests: formatIndexEntries(images) };
  const docker = images.flatMap(({ reference, image }) => formatDockerEntry(reference, image));
  return [
    [ENTRY_NAME.layout, { imageLayoutVersion: "1.0.0" }],
    [ENTRY_NAME.index, index],
    ...(docker.length === 0 ? [] : [[ENTRY_NAME.docker, docker] as const]),
  ];
}

function formatDocument(name: BundleEntryNames, value: unknown): Uint8Array {
  // Without indentation: it would multiply the size of deep objects such as CustomResourceDefinitions.
  const bytes = encoder.encode(`${JSON.stringify(value)}\n`);
  // A reader has the same limit. A document that could not be read again must not be written.
  if (bytes.length > PACKED_LIMITS.maxBytes) {
    throw new CrpeError(
      cannot("pack", `${name} would have ${bytes.length} bytes, ${PACKED_LIMITS.maxBytes} are allowed`),
    );
  }
  return bytes;
}

/**
 * The entries of an `index.json` for images. `io.containerd.image.name` is the full reference. skopeo and podman choose an
 * image of an archive by `org.opencontainers.image.ref.name`, and take the first of several equal names. So that is the
 * tag where only one image has it, and the full reference elsewhere: `registry.lan/app@sha256:…` for one without a tag.
 */
export function formatIndexEntries(
  images: readonly Pick<LaidOutImage, "reference" | "descriptor" | "isReferrer">[],
): Descriptor[] {
  const counts = new Map<string | undefined, number>();
  for (const { reference: { tag } } of images) counts.set(tag, (counts.get(tag) ?? 0) + 1);
  return images.map(({ reference, descriptor: { mediaType, digest, size }, isReferrer = false }): Descriptor => {
    const name = formatReference(reference);
    if (isReferrer) return { mediaType, digest, size, annotations: { [REFERRER_ANNOTATION]: name } };
    const refName = counts.get(reference.tag) === 1 ? reference.tag ?? name : name;
    return {
      mediaType,
      digest,
      size,
      annotations: { "org.opencontainers.image.ref.name": refName, "io.containerd.image.name": name },
    };
  });
}

/** Formats a bundle without content, for a store that already holds all content of the package. */
export function formatPackageTar({ bytes, text }: Omit<SignedDocument, "signatures">): Uint8Array<ArrayBuffer> {
  const tar = formatTarFiles([
    [ENTRY_NAME.kubepkg, bytes],
    ...(text === undefined ? [] : [[ENTRY_NAME.signatures, encoder.encode(text)] as const]),
  ]);
  const whole = new Uint8Array(tar.length + END_BYTES);
  whole.set(tar);
  return whole;
}
