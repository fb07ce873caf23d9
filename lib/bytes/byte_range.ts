import { cannot, RegistryError } from "../oci/error.ts";

/** A requested byte range of a blob: from `start` to `end` inclusive (or to the end), or the last `suffix` bytes. */
export type ByteRange = { readonly start: number; readonly end?: number } | { readonly suffix: number };

/**
 * Resolves a range against a blob of `size` bytes; `undefined` means the whole blob.
 *
 * @throws {RegistryError} `RANGE_INVALID` when the range selects no bytes (RFC 9110, 14.1.2)
 */
export function resolveRange(size: number, range: ByteRange | undefined): { start: number; length: number } {
  if (range === undefined) return { start: 0, length: size };
  const start = "suffix" in range ? Math.max(0, size - range.suffix) : range.start;
  const last = "suffix" in range ? size - 1 : Math.min(range.end ?? size - 1, size - 1);
  if (start > last) {
    throw new RegistryError("RANGE_INVALID", cannot("serve the range", `the blob has ${size} bytes`), {
      detail: { size },
    });
  }
  return { start, length: last - start + 1 };
}
