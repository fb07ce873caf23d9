import { imagesOf } from "../kubepkg/images_of.ts";
import type { KubePkg } from "../kubepkg/kubepkg.ts";
import { isSamePackage, type PackageId } from "../kubepkg/package_id.ts";
import type { Digest } from "../oci/digest.ts";
import { CorruptError } from "../oci/error.ts";
import type { PackageRecords } from "./package_records.ts";

/**
 * Collects the digests of all content that packages need: the installed releases, their history (for a rollback), and
 * the pending releases (so that content which was received is not transferred again).
 *
 * @param except an installed package to leave out
 * @throws {CorruptError} when a record cannot be read, because the content that it needs is not known then
 */
export async function collectPackageDigests(records: PackageRecords, except?: PackageId): Promise<Set<Digest>> {
  const found = new Set<Digest>();
  const { packages, problems } = await records.scan();
  const isLeftOut = (id: PackageId) => except !== undefined && isSamePackage(id, except);
  const broken = problems.filter(({ id }) => !isLeftOut(id));
  for (const kubepkg of packages) if (!isLeftOut(kubepkg.metadata)) addDigests(kubepkg, found);
  for (const id of await records.listIds()) {
    if (isLeftOut(id)) continue;
    const history = await records.scanHistory(id);
    for (const kubepkg of history.packages) addDigests(kubepkg, found);
    broken.push(...history.problems);
  }
  const pending = await records.pending.scan();
  for (const { kubepkg } of pending.pending) addDigests(kubepkg, found);
  const [problem] = [...broken.map(({ error }) => error), ...pending.problems];
  if (problem === undefined) return found;
  throw new CorruptError(
    `Cannot tell which content is needed, so nothing is removed: ${problem.message}`,
    { cause: problem },
  );
}

function addDigests(kubepkg: KubePkg, found: Set<Digest>): void {
  for (const { digest } of kubepkg.status?.digests ?? []) found.add(digest);
  for (const { digest } of imagesOf(kubepkg)) if (digest !== undefined) found.add(digest);
}
