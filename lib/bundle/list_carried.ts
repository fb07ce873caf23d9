import type { PackagePart } from "../kubepkg/kubepkg.ts";
import type { Digest } from "../oci/digest.ts";
import type { CorruptError } from "../oci/error.ts";
import { blobEntryName, pieceEntryName } from "./entry_names.ts";

/** Most pieces of one blob in one part. A part that crpe packed has one. */
const MAX_PIECES = 16;

/**
 * Lists the entry names that a part declares, with their sizes in bytes.
 *
 * @param declared the sizes of the content of all parts
 * @param refuse makes the error that is thrown when the part contradicts them
 */
export function listCarried(
  { carries }: PackagePart,
  declared: ReadonlyMap<Digest, number> | undefined,
  refuse: (reason: string) => CorruptError,
): Map<string, number> {
  for (const [digest, items] of Map.groupBy(carries, ({ digest }) => digest)) {
    if (items.length > MAX_PIECES) {
      throw refuse(`its status.part lists ${items.length} pieces of ${digest}, ${MAX_PIECES} are allowed`);
    }
  }
  return new Map(carries.map(({ digest, start, length }) => {
    const size = declared?.get(digest);
    if (size === undefined) throw refuse(`its status.part lists ${digest}, which status.digests does not`);
    if (start === undefined || length === undefined) return [blobEntryName(digest), size];
    if (start + length > size) throw refuse(`its status.part lists more of ${digest} than its ${size} bytes`);
    return [pieceEntryName({ digest, start }), length];
  }));
}
