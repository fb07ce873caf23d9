import { imagesOf } from "../kubepkg/images_of.ts";
import type { KubePkg } from "../kubepkg/kubepkg.ts";
import { isSamePackage, type PackageId } from "../kubepkg/package_id.ts";
import type { Digest } from "../oci/digest.ts";
import type { PackageRecords } from "./package_records.ts";
import type { RecordError } from "./records/record_file.ts";
import { salvageDigests } from "./salvage_digests.ts";

/** Options of `collectPackageDigests`. */
interface CollectOptions {
  /** An installed package to leave out. */
  readonly except?: PackageId | undefined;
  /** Called for each record that cannot be read. */
  readonly onProblem?: ((error: RecordError) => void) | undefined;
}

/**
 * Collects the digests of all content that packages need: the installed releases, their history (for a rollback), and
 * the pending releases (so that content which was received is not transferred again). Of a package with a record that
 * cannot be read, all digests in its files count.
 *
 * @throws {RecordError} when the system refuses to open a record: what the package needs is then not known
 */
export async function collectPackageDigests(
  records: PackageRecords,
  { except, onProblem }: CollectOptions = {},
): Promise<Set<Digest>> {
  const found = new Set<Digest>();
  const { packages, problems } = await records.scan();
  const isLeftOut = (id: PackageId) => except !== undefined && isSamePackage(id, except);
  const broken = problems.filter(({ id }) => !isLeftOut(id)).map(({ error }) => error);
  for (const kubepkg of packages) if (!isLeftOut(kubepkg.metadata)) addDigests(kubepkg, found);
  for (const id of await records.listIds()) {
    if (isLeftOut(id)) continue;
    const history = await records.scanHistory(id);
    for (const kubepkg of history.packages) addDigests(kubepkg, found);
    broken.push(...history.problems.map(({ error }) => error));
  }
  const pending = await records.pending.scan();
  for (const { kubepkg } of pending.pending) {
    addDigests(kubepkg, found);
    for (const { delta, bases } of kubepkg.status?.deltas ?? []) {
      for (const digest of [delta, ...bases.map((base) => base.digest)]) found.add(digest);
    }
  }
  broken.push(...pending.problems);
  const refused = broken.find(({ isDamaged }) => !isDamaged);
  if (refused !== undefined) throw refused;
  for (const folder of new Set(broken.map(({ folder }) => folder))) {
    for (const digest of await salvageDigests(folder)) found.add(digest);
  }
  for (const error of broken) onProblem?.(error);
  return found;
}

function addDigests(kubepkg: KubePkg, found: Set<Digest>): void {
  for (const { digest } of kubepkg.status?.digests ?? []) found.add(digest);
  for (const { digest } of imagesOf(kubepkg)) if (digest !== undefined) found.add(digest);
}
