import { decompress } from "../archive/decompress.ts";
import { BLOCK_BYTES, isTarHead } from "../archive/tar_header.ts";
import { TarReader } from "../archive/tar_reader.ts";
import { type BundleSource, streamBytes } from "../bytes/byte_reader.ts";
import { FileSource } from "../bytes/file_source.ts";
import { streamFile } from "../bytes/file_stream.ts";
import { listFolder } from "../files/if_present.ts";
import { cannot, CorruptError } from "../oci/error.ts";
import { checkFileSystem, notATar } from "./other_archive.ts";
import { listsImages } from "./entry_names.ts";

/** A file of an image archive, open for reading. */
export interface ImageEntry {
  /** `blobs/sha256/…`, `manifest.json` */
  readonly name: string;
  /** In bytes. */
  readonly size: number;
  /** Opens the content, which can be read once. */
  open(): Promise<ReadableStream<Uint8Array>>;
}

/** How far the files of an image archive are read, in bytes. */
export interface ReadProgress {
  readonly bytes: number;
  /** `undefined` for a stream, whose size is not known before its end. */
  readonly total?: number | undefined;
}

/** The files of an image archive, or of the folder of an image layout, in their order. */
export interface ImageEntries {
  /** Symbolic links by their names, with their targets; those that were read so far. */
  readonly links: ReadonlyMap<string, string>;
  /** Whether `index.json` and `manifest.json` come before all others, as in a folder. */
  readonly isIndexFirst: boolean;
  /** Of a compressed archive, the compressed bytes. */
  readonly progress: ReadProgress;
  /** Opens the next file, and skips the rest of the previous one. */
  next(): Promise<ImageEntry | undefined>;
  /** Stops reading early. */
  cancel(reason?: unknown): Promise<void>;
}

const MAX_LINKS = 10_000;
// `blobs/sha256/<hash>` is the deepest file of a layout.
const MAX_DEPTH = 3;

/**
 * Opens an image archive: a tar, also compressed with gzip or zstd.
 *
 * @param what name of the file in errors
 * @throws {CorruptError} when the file is not a tar
 */
export async function openImageEntries(source: BundleSource, what: string): Promise<ImageEntries> {
  const { compression, reader } = await decompress(source, what);
  const links = new Map<string, string>();
  let isImage = false;
  const head = await reader.peek(BLOCK_BYTES);
  if (!isTarHead(head)) {
    const error = compression === "none"
      ? notATar(head, what, "image archive")
      : new CorruptError(cannot(`read ${what}`, `it is not an image archive (the ${compression} data is not a tar)`));
    await reader.cancel(error);
    throw error;
  }
  // docker and podman write a layer that two images have once, and a link for the other one.
  const tar = new TarReader(reader, what, {
    onLink: (name, target) => {
      if (links.size === MAX_LINKS) {
        throw new CorruptError(cannot(`read ${what}`, `it has more than ${MAX_LINKS} links`));
      }
      links.set(name, target);
      return true;
    },
    onOther: (name) => {
      if (!isImage) checkFileSystem(`${name}/`, what);
    },
  });
  return {
    links,
    isIndexFirst: false,
    get progress() {
      return source instanceof FileSource ? { bytes: source.position, total: source.size } : { bytes: reader.position };
    },
    next: async () => {
      const entry = await tar.next();
      if (entry === undefined) return undefined;
      isImage ||= listsImages(entry.name);
      if (!isImage) checkFileSystem(entry.name, what);
      return { name: entry.name, size: entry.size, open: () => Promise.resolve(streamBytes(entry)) };
    },
    cancel: (reason) => tar.cancel(reason),
  };
}

/** Opens the folder of an OCI image layout (`skopeo copy … oci:DIR`). */
export async function openLayoutFolder(folder: string): Promise<ImageEntries> {
  const files: { readonly name: string; readonly size: number }[] = [];
  const list = async (prefix: string, depth: number) => {
    for (const { name, isDirectory, isFile } of await listFolder(`${folder}/${prefix}`) ?? []) {
      if (isFile) files.push({ name: `${prefix}${name}`, size: (await Deno.stat(`${folder}/${prefix}${name}`)).size });
      else if (isDirectory && depth < MAX_DEPTH) await list(`${prefix}${name}/`, depth + 1);
    }
  };
  await list("", 1);
  files.sort((a, b) => Number(listsImages(b.name)) - Number(listsImages(a.name)) || (a.name < b.name ? -1 : 1));
  const total = files.reduce((sum, { size }) => sum + size, 0);
  let [bytes, end] = [0, 0];
  const count = (body: ReadableStream<Uint8Array>) =>
    body.pipeThrough(
      new TransformStream<Uint8Array, Uint8Array>({
        transform(chunk, controller) {
          bytes += chunk.length;
          controller.enqueue(chunk);
        },
      }),
    );
  return {
    links: new Map(),
    isIndexFirst: true,
    get progress() {
      return { bytes, total };
    },
    next: () => {
      // The rest of the previous file is skipped.
      bytes = end;
      const file = files.shift();
      if (file === undefined) return Promise.resolve(undefined);
      end += file.size;
      const open = async () => count(streamFile(await Deno.open(`${folder}/${file.name}`), file.size));
      return Promise.resolve({ ...file, open });
    },
    cancel: () => Promise.resolve(),
  };
}
