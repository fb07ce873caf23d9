import { imagesOf, type KubePkg } from "../kubepkg/kubepkg.ts";
import type { Digest } from "../oci/digest.ts";
import type { PackageRecords } from "./package_records.ts";

/**
 * All content that the installed packages need, and those that they replaced: a rollback needs these. Also that of
 * packages which are on their way: of these a part may be there, and is not to be brought again.
 *
 * @param except a package that does not count
 * @throws {CorruptError} when a record cannot be read: nobody knows then what is needed
 */
export async function collectPackageDigests(records: PackageRecords, except?: string): Promise<Set<Digest>> {
  const found = new Set<Digest>();
  for (const installed of await records.list()) {
    if (installed.metadata.name === except) continue;
    for (const kubepkg of [installed, ...await records.listHistory(installed.metadata.name)]) {
      addDigests(kubepkg, found);
    }
  }
  for (const { kubepkg } of await records.pending.list()) addDigests(kubepkg, found);
  return found;
}

function addDigests(kubepkg: KubePkg, found: Set<Digest>): void {
  for (const { digest } of kubepkg.status?.digests ?? []) found.add(digest);
  for (const { digest } of imagesOf(kubepkg)) if (digest !== undefined) found.add(digest);
}
