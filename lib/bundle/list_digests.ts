import type { BundleSource } from "../bytes/byte_reader.ts";
import type { Digest } from "../oci/digest.ts";
import { RefusedError } from "../oci/error.ts";
import { readBundle } from "./read_bundle.ts";

/**
 * All that a site holds which has imported a bundle: what the bundle says it needs, be it in the file or left out of it. Of
 * a bundle that does not say it, which is read to its end, what is in it.
 *
 * @param what names the bundle in errors
 * @throws {RefusedError} for a part of a bundle: that all the others arrived too is not known
 * @throws {CorruptError}
 */
export async function listBundleDigests(source: BundleSource, what?: string): Promise<Set<Digest>> {
  const bundle = await readBundle(source, { what });
  try {
    const { part } = bundle.kubepkg.status ?? {};
    if (part !== undefined) {
      throw new RefusedError(
        `Cannot use ${bundle.what}: it is part ${part.number} of ${part.count} of a bundle, which tells nothing of the others; take the site's inventory (--have)`,
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
