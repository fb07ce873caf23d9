import {
  formatGzipHead,
  type GzipHead,
  sizeOfRest,
  STORED_BYTES,
  STORED_HEADER_BYTES,
} from "../archive/gzip_writer.ts";
import { BLOCK_BYTES, formatTarHeader, paddedSize } from "../archive/tar_header.ts";
import type { KubePkg } from "../kubepkg/kubepkg.ts";
import { KUBEPKG_LIMITS } from "../kubepkg/read_kubepkg.ts";
import { type Descriptor, MEDIA_TYPE } from "../oci/manifest.ts";
import { formatReference } from "../oci/reference.ts";
import type { PlanEntry, ResolvedImage } from "./bundle_plan.ts";
import { blobEntryName, type BundleEntryNames, ENTRY_NAME, pieceEntryName } from "./entry_names.ts";
import type { PreparedPack } from "./prepare_pack.ts";

/** Content in a bundle's file: a blob or manifest, whole or a piece of it. */
export interface FileEntry extends PlanEntry {
  readonly name: string;
  /** The tar's header. */
  readonly header: Uint8Array;
  /** Position of the first byte that is in the file. */
  readonly start: number;
  /** How many bytes are in the file. */
  readonly length: number;
}

/** A bundle's file before it is written: all of it but the content, so that the place of every byte is known. */
export interface BundleFile {
  /** The documents, compressed: the beginning of the file. */
  readonly head: GzipHead;
  readonly entries: readonly FileEntry[];
  /** Bytes of the tar behind the head. */
  readonly bodySize: number;
  /** Bytes of the file. */
  readonly size: number;
}

/** Zeros at the end of a tar. */
export const END_BYTES = 2 * BLOCK_BYTES;
const encoder = new TextEncoder();

/** Lays out the one file of a package that is not split. */
export function layOutBundle({ kubepkg, images, plan }: Pick<PreparedPack, "kubepkg" | "images" | "plan">): BundleFile {
  return layOutFile(formatHead(kubepkg, images), plan.entries.map((entry) => createEntry(entry)));
}

/** Puts a file together. */
export function layOutFile(head: GzipHead, entries: readonly FileEntry[]): BundleFile {
  const bodySize = entries.reduce((sum, entry) => sum + sizeOfEntry(entry), END_BYTES);
  return { head, entries, bodySize, size: head.bytes.length + sizeOfRest(bodySize) };
}

/** An entry with all of some content. */
export function createEntry(entry: PlanEntry): FileEntry {
  const { digest, size } = entry.descriptor;
  const name = blobEntryName(digest);
  return { ...entry, name, header: formatTarHeader(name, size), start: 0, length: size };
}

/** An entry with a piece of some content. */
export function createPieceEntry(entry: PlanEntry, start: number, length: number): FileEntry {
  const name = pieceEntryName({ digest: entry.descriptor.digest, start });
  return { ...entry, name, header: formatTarHeader(name, length), start, length };
}

/** The bytes of the tar that an entry takes. */
export function sizeOfEntry({ header, length }: Pick<FileEntry, "header" | "length">): number {
  return header.length + paddedSize(length);
}

/** How many bytes of a file are before the end of the first `length` bytes of the tar behind its head. */
export function placeInFile({ head }: BundleFile, length: number): number {
  const blocks = Math.ceil(length / STORED_BYTES);
  return head.bytes.length + length + blocks * STORED_HEADER_BYTES;
}

/** The bytes of `kubepkg.json`. */
export function formatKubePkg(kubepkg: KubePkg): Uint8Array {
  return formatDocument(ENTRY_NAME.kubepkg, kubepkg);
}

/** The head of a file that has nothing but `kubepkg.json` before its content. */
export function formatPartHead(kubepkg: KubePkg): GzipHead {
  return formatGzipHead(formatFiles([[ENTRY_NAME.kubepkg, kubepkg]]));
}

// The documents that say what the file is: a few kilobytes that compress well, and are read first.
function formatHead(kubepkg: KubePkg, images: readonly ResolvedImage[]): GzipHead {
  const index = { schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests: images.map(formatIndexEntry) };
  return formatGzipHead(formatFiles([
    [ENTRY_NAME.kubepkg, kubepkg],
    [ENTRY_NAME.layout, { imageLayoutVersion: "1.0.0" }],
    [ENTRY_NAME.index, index],
  ]));
}

function formatFiles(documents: readonly (readonly [BundleEntryNames, unknown])[]): Uint8Array {
  const parts = documents.flatMap(([name, value]) => {
    const bytes = formatDocument(name, value);
    return [formatTarHeader(name, bytes.length), bytes, new Uint8Array(paddedSize(bytes.length) - bytes.length)];
  });
  const files = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    files.set(part, at);
    at += part.length;
  }
  return files;
}

function formatDocument(name: BundleEntryNames, value: unknown): Uint8Array {
  const bytes = encoder.encode(`${JSON.stringify(value, undefined, 2)}\n`);
  // What could not be read again must not be written.
  if (bytes.length > KUBEPKG_LIMITS.maxBytes) {
    throw new Error(`Cannot pack: ${name} would have ${bytes.length} bytes, ${KUBEPKG_LIMITS.maxBytes} are allowed`);
  }
  return bytes;
}

function formatIndexEntry({ reference, root }: ResolvedImage): Descriptor {
  const { mediaType, digest, size } = root.descriptor;
  return {
    mediaType,
    digest,
    size,
    annotations: {
      ...(reference.tag === undefined ? {} : { "org.opencontainers.image.ref.name": reference.tag }),
      "io.containerd.image.name": formatReference(reference),
    },
  };
}

/** A bundle that has a package's `kubepkg.json` alone: for a store that holds all which the package names. */
export function formatPackageTar(kubepkg: KubePkg): Uint8Array<ArrayBuffer> {
  const document = new TextEncoder().encode(JSON.stringify(kubepkg));
  const header = formatTarHeader(ENTRY_NAME.kubepkg, document.length);
  const bytes = new Uint8Array(header.length + paddedSize(document.length) + 2 * BLOCK_BYTES);
  bytes.set(header);
  bytes.set(document, header.length);
  return bytes;
}
