const BLOCK = 512;
const encoder = new TextEncoder();

/** A file of a tar; its content, or only how long that is. */
export interface TarFile {
  readonly path: string;
  readonly size: number;
}

/** The header of a regular file as a POSIX tar (ustar) has it: owned by root, of the epoch. */
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

/** How many zero bytes follow the content of a file of `size` bytes. */
export function tarPadding(size: number): number {
  return (BLOCK - size % BLOCK) % BLOCK;
}

/** The two empty blocks at the end. */
export const TAR_END = new Uint8Array(2 * BLOCK);

/** A whole tar, with the folders that its files are in. */
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
  return concat([...parts, TAR_END]);
}

/** Puts bytes one behind the other. */
export function concat(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((total, part) => total + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
