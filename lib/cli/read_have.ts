import { listBundleDigests } from "../bundle/bundle_digests.ts";
import { INVENTORY_LIMITS, parseInventory } from "../content/inventory.ts";
import type { Digest } from "../oci/digest.ts";
import type { Invocation } from "./command.ts";
import type { Io } from "./io.ts";
import { openBundle, openFile } from "./open_bundle.ts";
import { readBounded } from "./read_bounded.ts";

/** What the site holds, by `--have` and `--since`; `undefined` where neither is given. */
export async function readHave(invocation: Invocation, io: Io): Promise<Set<Digest> | undefined> {
  const [files, bundles] = [invocation.flags("have"), invocation.flags("since")];
  if (files.length === 0 && bundles.length === 0) return undefined;
  const have = new Set<Digest>();
  const add = (digests: Iterable<Digest>) => {
    for (const digest of digests) have.add(digest);
  };
  for (const file of files) {
    // Of a bundle given by mistake no more than that is read.
    const bytes = await readBounded(await openFile(file, io), file, INVENTORY_LIMITS.maxBytes);
    add(parseInventory(bytes, file));
  }
  for (const bundle of bundles) add(await listBundleDigests(await openBundle(bundle, io), bundle));
  return have;
}
