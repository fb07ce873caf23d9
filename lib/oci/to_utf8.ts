import { cannot, CorruptError } from "./error.ts";

/**
 * Returns a text file that a person has made as UTF-8 without a byte order mark. Windows PowerShell writes UTF-16 or UTF-8
 * with that mark, both from `>` and from `Out-File`. Every command reads such files by this function.
 *
 * @param what names the file in the error
 * @throws {CorruptError} when the mark says UTF-16, and it is not
 */
export function toUtf8(bytes: Uint8Array, what: string): Uint8Array {
  const [first, second, third] = bytes;
  if (first === 0xef && second === 0xbb && third === 0xbf) return bytes.subarray(3);
  const encoding = first === 0xff && second === 0xfe
    ? "utf-16le"
    : first === 0xfe && second === 0xff
    ? "utf-16be"
    : undefined;
  if (encoding === undefined) return bytes;
  try {
    return new TextEncoder().encode(new TextDecoder(encoding, { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new CorruptError(cannot(`read ${what}`, "its byte order mark says UTF-16, and it is not"), { cause });
  }
}

/** Returns the text of a file, as `toUtf8`. */
export function decodeText(bytes: Uint8Array, what: string): string {
  return new TextDecoder().decode(toUtf8(bytes, what));
}
