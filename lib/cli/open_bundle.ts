import { streamFile } from "../content/byte_stream.ts";
import type { Io } from "./io.ts";

/** What a bundle is called in errors. */
export function nameOfBundle(where: string): string {
  return where === "-" ? "standard input" : where;
}

/** A bundle's bytes: a file's, or `-` for standard input. The file is closed with the stream. */
export async function openBundle(where: string, io: Io): Promise<ReadableStream<Uint8Array>> {
  if (where === "-") return io.stdin;
  const file = await Deno.open(where);
  const { isDirectory, isFile, size } = await file.stat();
  if (isDirectory) {
    file.close();
    throw new Error(`Cannot read ${where}: it is a folder, not a file`);
  }
  return isFile ? streamFile(file, 0, size) : file.readable;
}
