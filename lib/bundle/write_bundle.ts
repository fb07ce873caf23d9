import { type ByteSink, GzipWriter } from "../archive/gzip_writer.ts";
import { ByteReader, openByteSource } from "../bytes/byte_reader.ts";
import type { ContentSource } from "../content/source.ts";
import { DigestMismatchError } from "../content/verifier.ts";
import type { Digest } from "../oci/digest.ts";
import { RegistryError } from "../oci/error.ts";
import { type BundleFile, END_BYTES, type FileEntry, placeInFile, sizeOfEntry } from "./bundle_layout.ts";
import { ENTRY_NAME } from "./entry_names.ts";
import { EntryVerifier } from "./entry_verifier.ts";
import { blameImages, type PreparedPack } from "./prepare_pack.ts";
import { beginFile, type PartialFile, resumeFile, type ResumePoint } from "./resume_pack.ts";

/** Where a bundle's file goes. */
export interface BundleOutput extends ByteSink {
  /** What an interrupted pack left is gone on with; absent where nothing can be left: a pipe. */
  readonly partial?: PartialFile;
}

/** What is going on while a bundle is packed or imported. */
export interface BundleProgress {
  /** Bytes that are done. */
  readonly bytes: number;
  /** Bytes that there will be, where it is known. */
  readonly total?: number;
  /** The entry that is worked on: `blobs/sha256/…`. */
  readonly entry: string;
}

/** How a file is written. */
export interface WriteOptions {
  /** Has seen the content of the files before this one. */
  readonly check?: EntryVerifier;
  /** Whether to hash what is written, which costs as much as all else. */
  readonly hashOutput?: boolean;
  readonly onProgress?: (progress: BundleProgress) => void;
}

/** A file that was written. */
export interface WrittenFile {
  /** In bytes. */
  readonly size: number;
  /** Of the file, if it was asked for. */
  readonly tgzDigest?: Digest;
  /** How many bytes an interrupted pack had left, which were not packed again. */
  readonly resumed: number;
  /** Has seen the content of this file too. */
  readonly check: EntryVerifier;
}

/**
 * Writes a bundle's file, or the rest of one that is there in part. The content is verified while it passes.
 *
 * @throws {WrongContentError} when content is not what its digest says
 */
export async function writeBundle(
  layout: BundleFile,
  pack: PreparedPack,
  output: BundleOutput,
  options: WriteOptions = {},
): Promise<WrittenFile> {
  const { check = new EntryVerifier(), hashOutput = false } = options;
  for (let tries = 1;; tries++) {
    const taken = output.partial === undefined
      ? beginFile({ check, hashOutput })
      : await resumeFile(output.partial, layout, { check, hashOutput });
    try {
      return await writeRest({ layout, pack, taken }, output, options);
    } catch (error) {
      if (!(error instanceof CorruptResumeError)) throw error;
      if (tries > 1) throw error.cause;
      // Now without what was there of it.
      const { entries } = layout;
      const start = entries.slice(0, taken.entry).reduce((sum, entry) => sum + sizeOfEntry(entry), 0);
      await output.partial!.cut(placeInFile(layout, start));
    }
  }
}

/** Content was wrong, of which the file had a part already: that may have been damaged. */
class CorruptResumeError extends Error {}

interface WriteJob {
  readonly layout: BundleFile;
  readonly pack: PreparedPack;
  readonly taken: ResumePoint;
}

async function writeRest(
  { layout, pack, taken }: WriteJob,
  output: ByteSink,
  options: WriteOptions,
): Promise<WrittenFile> {
  const { head, size } = layout;
  const { hash, check } = taken;
  const sink: ByteSink = {
    write: (bytes) => {
      hash?.update(bytes);
      return output.write(bytes);
    },
  };
  const isNew = taken.state.size === 0;
  if (isNew) await sink.write(head.bytes);
  const gzip = new GzipWriter(sink, isNew ? head.state : taken.state);
  const report = (entry: string) => options.onProgress?.({ bytes: gzip.size, total: size, entry });
  report(ENTRY_NAME.kubepkg);
  try {
    if (!taken.isComplete) await writeBody({ layout, pack, taken }, gzip, report);
  } catch (error) {
    await gzip.settle();
    throw error;
  }
  return {
    size,
    ...(hash === undefined ? {} : { tgzDigest: `sha256:${hash.digest("hex")}` as const }),
    resumed: taken.isComplete ? size : taken.state.size + taken.tail.length,
    check,
  };
}

async function writeBody(
  { layout: { entries }, pack, taken }: WriteJob,
  gzip: GzipWriter,
  report: (entry: string) => void,
): Promise<void> {
  await gzip.write(taken.tail);
  for (let i = taken.entry; i < entries.length; i++) {
    const entry = entries[i]!;
    const offset = i === taken.entry ? taken.offset : 0;
    const write = async (bytes: Uint8Array) => {
      await gzip.write(bytes);
      report(entry.name);
    };
    try {
      await writeEntry({ entry, offset }, pack, { check: taken.check, write });
    } catch (error) {
      if (offset <= entry.header.length || !(error instanceof DigestMismatchError)) throw error;
      throw new CorruptResumeError(error.message, { cause: error });
    }
  }
  await gzip.write(new Uint8Array(END_BYTES - (taken.entry === entries.length ? taken.offset : 0)));
  await gzip.finish();
}

/** Where the bytes of an entry go. */
interface EntrySink {
  readonly check: EntryVerifier;
  readonly write: (bytes: Uint8Array) => Promise<void>;
}

// Of the entry `offset` bytes are there already.
async function writeEntry(
  { entry, offset }: { entry: FileEntry; offset: number },
  { source, manifests, images }: PreparedPack,
  { check, write }: EntrySink,
): Promise<void> {
  const { header, length, start, type, descriptor: { digest } } = entry;
  if (offset < header.length) {
    await write(header.subarray(offset));
    check.begin(entry);
  }
  const from = Math.max(0, offset - header.length);
  if (from < length || offset < header.length) {
    const pass = async (bytes: Uint8Array) => {
      check.update(bytes);
      await write(bytes);
    };
    const known = type === "manifest" ? manifests.get(digest) : undefined;
    try {
      if (known !== undefined) await pass(known.subarray(start + from, start + length));
      else await copyBlob(source, entry, { from, pass });
      check.end(entry);
    } catch (error) {
      blameImages(error, digest, images);
    }
  }
  const end = header.length + length;
  await write(new Uint8Array(sizeOfEntry(entry) - Math.max(offset, end)));
}

// The next piece is on its way while this one is hashed and written.
async function copyBlob(
  source: ContentSource,
  { descriptor: { digest, size }, repository, start, length }: FileEntry,
  { from, pass }: { from: number; pass: (piece: Uint8Array) => Promise<void> },
): Promise<void> {
  const first = start + from;
  const isWhole = first === 0 && length === size;
  const range = isWhole ? undefined : { start: first, end: start + length - 1 };
  const opened = await source.openBlob(repository, digest, range).catch((error) => {
    if (!(error instanceof RegistryError) || error.code !== "RANGE_INVALID") throw error;
    throw new DigestMismatchError(`Cannot accept ${digest}: fewer than the ${size} bytes expected are there`);
  });
  if (opened === undefined) throw new Error(`Cannot pack ${repository}: its blob ${digest} was not found`);
  const reader = new ByteReader(openByteSource(opened.body), digest);
  const readAhead = () => {
    const next = reader.read(Infinity);
    next.catch(() => {});
    return next;
  };
  try {
    let passed = first;
    for (let next = readAhead(), piece = await next; piece !== undefined; piece = await next) {
      next = readAhead();
      passed += piece.length;
      await pass(piece);
    }
    if (isWhole || passed === start + length) return;
    throw new DigestMismatchError(`Cannot accept ${digest}: ${passed} bytes came up to ${start + length}`);
  } catch (error) {
    await reader.cancel(error);
    throw error;
  }
}
