import { joinChunks } from "../../lib/bytes/join_chunks.ts";
const BLOCK = 512;
const encoder = new TextEncoder();

/** The name and size of a file in a tar. */
export interface TarFile {
  readonly path: string;
  readonly size: number;
}

/** Formats the ustar header (POSIX.1) of a file or folder that root owns, dated to the epoch. */
export function formatTarHeader({ path, size }: TarFile): Uint8Array<ArrayBuffer> {
  const header = new Uint8Array(BLOCK);
  const put = (at: number, text: string) => header.set(encoder.encode(text), at);
  const octal = (value: number, digits: number) => value.toString(8).padStart(digits, "0") + "\0";
  const isFolder = path.endsWith("/");
  if (encoder.encode(path).length > 100) throw new Error(`Cannot write ${path}: the name is too long for a test's tar`);
  put(0, path);
  put(100, octal(isFolder ? 0o755 : 0o644, 7));
  put(108, octal(0, 7));
  put(116, octal(0, 7));
  put(124, octal(size, 11));
  put(136, octal(0, 11));
  put(148, " ".repeat(8));
  put(156, isFolder ? "5" : "0");
  put(257, "ustar\u000000");
  const sum = header.reduce((total, byte) => total + byte, 0);
  put(148, octal(sum, 6) + " ");
  return header;
}

/** The number of zero bytes after the content of a file of `size` bytes. */
export function tarPadding(size: number): number {
  return (BLOCK - size % BLOCK) % BLOCK;
}

/** The two empty blocks at the end of a tar. */
export const TAR_END = new Uint8Array(2 * BLOCK);

/** Makes a tar of files, with an entry for each folder. */
export function makeTar(files: Readonly<Record<string, string | Uint8Array>>): Uint8Array<ArrayBuffer> {
  const parts: Uint8Array[] = [];
  const folders = new Set<string>();
  for (const [path, content] of Object.entries(files)) {
    for (let slash = path.indexOf("/"); slash >= 0; slash = path.indexOf("/", slash + 1)) {
      const folder = path.slice(0, slash + 1);
      if (!folders.has(folder)) parts.push(formatTarHeader({ path: folder, size: 0 }));
      folders.add(folder);
    }
    const bytes = typeof content === "string" ? encoder.encode(content) : content;
    parts.push(formatTarHeader({ path, size: bytes.length }), bytes, new Uint8Array(tarPadding(bytes.length)));
  }
  return joinChunks([...parts, TAR_END]);
}
