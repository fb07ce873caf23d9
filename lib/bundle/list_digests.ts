import type { BundleSource } from "../bytes/byte_reader.ts";
import type { Digest } from "../oci/digest.ts";
import { cannot, RefusedError } from "../oci/error.ts";
import { readBundle } from "./read_bundle.ts";

/**
 * Lists the digests that a site holds once it has imported a bundle: all that the bundle declares, carried or left out.
 * A bundle without a declaration is read to its end, and its entries are listed.
 *
 * @param what name of the bundle in errors
 * @throws {RefusedError} for a part of a split bundle: whether the site imported the other parts is unknown
 * @throws {CorruptError} when the file is not a bundle, or is damaged
 */
export async function listBundleDigests(source: BundleSource, what?: string): Promise<Set<Digest>> {
  const bundle = await readBundle(source, { what });
  try {
    const { part } = bundle;
    if (part !== undefined) {
      throw new RefusedError(
        cannot(
          `use ${bundle.what}`,
          `it is part ${part.number} of ${part.count}, and whether the site has the other parts is unknown`,
          "use the site's inventory (--have)",
        ),
      );
    }
    const found = new Set<Digest>(bundle.declared?.keys());
    if (bundle.declared !== undefined) return found;
    for (let blob = await bundle.next(); blob !== undefined; blob = await bundle.next()) found.add(blob.digest);
    return found;
  } finally {
    await bundle.cancel();
  }
}
