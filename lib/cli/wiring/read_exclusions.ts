import { listBundleDigests } from "../../bundle/list_digests.ts";
import { readBounded } from "../../bytes/read_bounded.ts";
import type { Digest } from "../../oci/digest.ts";
import { HeldContent } from "../../store/held_content.ts";
import { modelNames } from "../../delta/models/all.ts";
import { INVENTORY_LIMITS } from "../../store/inventory.ts";
import type { Invocation } from "../command_line/command.ts";
import type { Io } from "../console/io.ts";
import { nameOfBundle, openBundle, openFile } from "./open_bundle.ts";

/** What the site has, from `--have` and `--since`. */
export interface Exclusions {
  /** The content that it has. */
  readonly have: Pick<ReadonlySet<Digest>, "has">;
  /** The compressor models that it can rebuild layers with. */
  readonly models: ReadonlySet<string>;
}

/**
 * Reads what the site already has, from `--have` and `--since`; `undefined` when neither is given. A site that a bundle was
 * sent to is taken to know the models of this program, unless an inventory tells.
 *
 * @throws {CorruptError} when a file is not an inventory or a bundle
 */
export async function readExclusions(invocation: Invocation, io: Io): Promise<Exclusions | undefined> {
  const [files, bundles] = [invocation.flags("have"), invocation.flags("since")];
  if (files.length === 0 && bundles.length === 0) return undefined;
  const have = new HeldContent();
  for (const file of files) {
    // The limit also bounds the read when a bundle is given by mistake.
    const [stream, name] = [await openFile(file, io), nameOfBundle(file)];
    have.addInventory(await readBounded(stream, name, INVENTORY_LIMITS.maxBytes), name);
  }
  for (const bundle of bundles) have.add(await listBundleDigests(await openBundle(bundle, io), nameOfBundle(bundle)));
  return { have, models: have.models ?? new Set(modelNames()) };
}
