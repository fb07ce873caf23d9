import type { PackagePart } from "../kubepkg/kubepkg.ts";
import type { Digest } from "../oci/digest.ts";
import { blobEntryName, pieceEntryName } from "./entry_names.ts";

/** Most pieces of one blob in one part. A part that crpe packed has one. */
const MAX_PIECES = 16;

/**
 * Lists the entries that a part of a split bundle declares, with their sizes in bytes.
 *
 * @param options.declared the digests of the package, with their sizes
 * @param options.refuse creates the error for a reason
 * @throws what `refuse` returns, when the list does not agree with the package
 */
export function listCarried(
  { carries }: PackagePart,
  { declared, refuse }: {
    readonly declared: ReadonlyMap<Digest, number> | undefined;
    readonly refuse: (reason: string) => Error;
  },
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
