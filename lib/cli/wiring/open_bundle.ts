import type { BundleSource } from "../../bytes/byte_reader.ts";
import { FileSource, type SeekableFile } from "../../bytes/file_source.ts";
import { streamFile } from "../../bytes/file_stream.ts";
import type { Io } from "../console/io.ts";
import { cannot, CrpeError, UsageError } from "../../oci/error.ts";

/** Returns the name of a bundle for errors. */
export function nameOfBundle(where: string): string {
  return where === "-" ? "standard input" : where;
}

/**
 * Checks that at most one of the inputs of a command is standard input.
 *
 * @param action what the command does with it, for the error: `import`
 * @throws {UsageError} when there are several: it can be read once
 */
export function checkInputs(inputs: readonly (string | undefined)[], action: string): void {
  if (inputs.filter((input) => input === "-").length <= 1) return;
  throw new UsageError(cannot(`${action} - twice`, "standard input can be read once"));
}

/**
 * Opens a bundle: a file as a seekable source, of which unneeded parts are skipped, or a pipe as a stream; `-` is
 * standard input. Closing the source closes the file.
 */
export async function openBundle(where: string, io: Io): Promise<BundleSource> {
  if (where === "-") return io.stdin;
  const { file, size } = await openForReading(where);
  return size === undefined ? file.readable : new FileSource(seekableFile(file, size));
}

/**
 * Returns a function that opens a bundle from its start, as often as it is called.
 *
 * @param flag the flag that needs this, for the error
 * @throws {UsageError} for a pipe, or standard input: each can be read once
 */
export function openBundleAgain(where: string, flag: string, io: Io): () => Promise<BundleSource> {
  return async () => {
    const source = where === "-" ? undefined : await openBundle(where, io);
    if (source !== undefined && !(source instanceof ReadableStream)) return source;
    await source?.cancel();
    throw new UsageError(cannot(`use ${flag} with ${nameOfBundle(where)}`, "it can be read once only", "name a file"));
  };
}

/** Opens a file as a stream; `-` is standard input. Closing the stream closes the file. */
export async function openFile(where: string, io: Io): Promise<ReadableStream<Uint8Array>> {
  if (where === "-") return io.stdin;
  const { file, size } = await openForReading(where);
  return size === undefined ? file.readable : streamFile(file, size);
}

// A pipe has no size.
async function openForReading(where: string): Promise<{ file: Deno.FsFile; size: number | undefined }> {
  const file = await Deno.open(where);
  const { isDirectory, isFile, size } = await file.stat();
  if (isDirectory) {
    file.close();
    const isLayout = await Deno.stat(`${where}/oci-layout`).then(() => true, () => false);
    throw new CrpeError(
      isLayout
        ? cannot(`read ${where}`, `it is the folder of an OCI image layout: crpe load ${where}`)
        : cannot(`read ${where}`, "it is a folder, not a file"),
    );
  }
  return { file, size: isFile ? size : undefined };
}

function seekableFile(file: Deno.FsFile, size: number): SeekableFile {
  let position = 0;
  let isOpen = true;
  return {
    size,
    read: async (from, buffer) => {
      if (from !== position) file.seekSync(from, Deno.SeekMode.Start);
      const got = await file.read(buffer) ?? 0;
      position = from + got;
      return got;
    },
    close: () => {
      if (isOpen) file.close();
      isOpen = false;
    },
  };
}
