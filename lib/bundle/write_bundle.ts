import { type ByteSink, GzipWriter } from "../archive/gzip_writer.ts";
import { ByteReader, openByteSource } from "../bytes/byte_reader.ts";
import { returnChunk } from "../bytes/lent_chunks.ts";
import { DigestMismatchError } from "../content/verifier.ts";
import type { Digest } from "../oci/digest.ts";
import { cannot, CrpeError, RegistryError } from "../oci/error.ts";
import type { BundleProgress } from "./bundle_progress.ts";
import { type BundleFile, END_BYTES, type FileEntry, positionInFile, sizeOfEntry } from "./bundle_layout.ts";
import { ENTRY_NAME } from "./entry_names.ts";
import { EntryVerifier } from "./entry_verifier.ts";
import { type PreparedPack, rethrowWithImages } from "./prepare_pack.ts";
import { beginFile, type PartialFile, resumeFile, type ResumePoint } from "./resume_pack.ts";

/** The output that a bundle file is written to. */
export interface BundleOutput extends ByteSink {
  /** The file of an interrupted pack, which is resumed. Absent for an output that cannot be resumed, such as a pipe. */
  readonly partial?: PartialFile;
}

/** Options for writing a bundle file. */
export interface WriteOptions {
  /** The verifier, after the content of the files before this one. */
  readonly check?: EntryVerifier;
  /** Whether to hash the file. This costs as much as the rest of the work. */
  readonly hashOutput?: boolean;
  readonly onProgress?: (progress: BundleProgress) => void;
}

/** A file of a pack. */
export interface PackFile {
  readonly layout: BundleFile;
  readonly pack: PreparedPack;
}

/** A bundle file that was written. */
export interface WrittenFile {
  /** Size of the file, in bytes. */
  readonly size: number;
  /** Digest of the file, with `hashOutput`. */
  readonly tgzDigest?: Digest;
  /** Bytes of an interrupted pack that were reused. */
  readonly resumed: number;
  /** The verifier, after the content of this file. */
  readonly check: EntryVerifier;
}

/**
 * Writes a bundle file, or the rest of a partial file. Verifies the content while it writes.
 *
 * @throws {WrongContentError} when content does not match its digest
 */
export async function writeBundle(
  { layout, pack }: PackFile,
  output: BundleOutput,
  options: WriteOptions = {},
): Promise<WrittenFile> {
  const { check = new EntryVerifier(), hashOutput = false } = options;
  for (let tries = 1;; tries++) {
    const resumePoint = output.partial === undefined
      ? beginFile({ check, hashOutput })
      : await resumeFile(output.partial, layout, { check, hashOutput });
    try {
      return await writeRest({ layout, pack, resumePoint }, output, options);
    } catch (error) {
      if (!(error instanceof CorruptResumeError)) throw error;
      if (tries > 1) throw error.cause;
      // Retry once, and write the entry from its start.
      const { entries } = layout;
      const start = entries.slice(0, resumePoint.entry).reduce((sum, entry) => sum + sizeOfEntry(entry), 0);
      await output.partial!.cut(positionInFile(layout, start));
    }
  }
}

/** A resumed entry does not match its digest: the beginning that was already in the file may be damaged. */
class CorruptResumeError extends Error {}

interface WriteJob extends PackFile {
  readonly resumePoint: ResumePoint;
}

async function writeRest(
  { layout, pack, resumePoint }: WriteJob,
  output: ByteSink,
  options: WriteOptions,
): Promise<WrittenFile> {
  const { head, size } = layout;
  const { hash, check } = resumePoint;
  const sink: ByteSink = {
    write: (bytes) => {
      hash?.update(bytes);
      return output.write(bytes);
    },
  };
  const isNew = resumePoint.state.size === 0;
  if (isNew) await sink.write(head.bytes);
  const gzip = new GzipWriter(sink, isNew ? head.state : resumePoint.state);
  const report = (entry: string) => options.onProgress?.({ bytes: gzip.size, total: size, entry });
  report(ENTRY_NAME.kubepkg);
  try {
    if (!resumePoint.isComplete) await writeBody({ layout, pack, resumePoint }, gzip, report);
  } catch (error) {
    await gzip.settle();
    throw error;
  }
  return {
    size,
    tgzDigest: hash && `sha256:${hash.digest("hex")}`,
    resumed: resumePoint.isComplete ? size : resumePoint.state.size + resumePoint.tail.length,
    check,
  };
}

async function writeBody(
  { layout: { entries }, pack, resumePoint }: WriteJob,
  gzip: GzipWriter,
  report: (entry: string) => void,
): Promise<void> {
  await gzip.write(resumePoint.tail);
  for (let i = resumePoint.entry; i < entries.length; i++) {
    const entry = entries[i]!;
    const offset = i === resumePoint.entry ? resumePoint.offset : 0;
    const write = async (bytes: Uint8Array) => {
      await gzip.write(bytes);
      report(entry.name);
    };
    try {
      await writeEntry({ entry, offset }, pack, { check: resumePoint.check, write });
    } catch (error) {
      if (offset <= entry.header.length || !(error instanceof DigestMismatchError)) throw error;
      throw new CorruptResumeError(error.message, { cause: error });
    }
  }
  await gzip.write(new Uint8Array(END_BYTES - (resumePoint.entry === entries.length ? resumePoint.offset : 0)));
  await gzip.finish();
}

/** Verifies and writes the bytes of an entry. */
interface EntrySink {
  readonly check: EntryVerifier;
  readonly write: (bytes: Uint8Array) => Promise<void>;
}

// The file already has `offset` bytes of the entry.
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
      rethrowWithImages(error, digest, images);
    }
  }
  const end = header.length + length;
  await write(new Uint8Array(sizeOfEntry(entry) - Math.max(offset, end)));
}

// The next chunk is read while the current one is hashed and written.
async function copyBlob(
  source: PreparedPack["source"],
  { descriptor: { digest, size }, repository, start, length }: FileEntry,
  { from, pass }: { from: number; pass: (piece: Uint8Array) => Promise<void> },
): Promise<void> {
  const first = start + from;
  const isWhole = first === 0 && length === size;
  const range = isWhole ? undefined : { start: first, end: start + length - 1 };
  const opened = await source.openBlob(repository, digest, range).catch((error) => {
    if (!(error instanceof RegistryError) || error.code !== "RANGE_INVALID") throw error;
    throw new DigestMismatchError(cannot(`accept ${digest}`, `it has fewer than the ${size} bytes expected`));
  });
  if (opened === undefined) throw new CrpeError(cannot(`pack ${repository}`, `its blob ${digest} was not found`));
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
      returnChunk(piece);
    }
    if (isWhole || passed === start + length) return;
    throw new DigestMismatchError(
      cannot(`accept ${digest}`, `it ends after ${passed} bytes, ${start + length} are needed`),
    );
  } catch (error) {
    await reader.cancel(error);
    throw error;
  }
}
