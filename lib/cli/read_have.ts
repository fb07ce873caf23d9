import { listBundleDigests } from "../bundle/bundle_digests.ts";
import { INVENTORY_LIMITS, parseInventory } from "../content/inventory.ts";
import type { Digest } from "../oci/digest.ts";
import { type Invocation, UsageError } from "./command.ts";
import type { Io } from "./io.ts";
import { nameOfBundle, openBundle, openFile } from "./open_bundle.ts";
import { readBounded } from "./read_bounded.ts";

/** What the site holds, by `--have` and `--since`; `undefined` where neither is given. */
export async function readHave(invocation: Invocation, io: Io): Promise<Set<Digest> | undefined> {
  const [files, bundles] = [invocation.flags("have"), invocation.flags("since")];
  if (files.length === 0 && bundles.length === 0) return undefined;
  if ([...invocation.arguments, ...files, ...bundles].filter((file) => file === "-").length > 1) {
    throw new UsageError("Cannot pack with - twice: standard input can be read once");
  }
  const have = new Set<Digest>();
  const add = (digests: Iterable<Digest>) => {
    for (const digest of digests) have.add(digest);
  };
  for (const file of files) {
    // Of a bundle given by mistake no more than that is read.
    const [stream, name] = [await openFile(file, io), nameOfBundle(file)];
    add(parseInventory(await readBounded(stream, name, INVENTORY_LIMITS.maxBytes), name));
  }
  for (const bundle of bundles) add(await listBundleDigests(await openBundle(bundle, io), nameOfBundle(bundle)));
  return have;
}
