import type { PackageRecords } from "../../install/package_records.ts";
import {
  comparePackageIds,
  formatFullPackageId,
  formatPackageId,
  isSelected,
  type PackageId,
  packageIdOf,
  parsePackageId,
} from "../../kubepkg/package_id.ts";
import { didYouMean } from "../command_line/parse_command_line.ts";
import { cannot, CrpeError } from "../../oci/error.ts";

/**
 * Finds an installed package by `NAME` or `NAMESPACE/NAME`. A package whose record cannot be read counts as installed.
 *
 * @throws {Error} when it is not installed, with the nearest name; when it is installed in several namespaces, with all of
 *   them
 */
export async function findInstalledPackage(records: PackageRecords, text: string): Promise<PackageId> {
  const { packages, problems } = await records.scan();
  const ids = [...packages.map(packageIdOf), ...problems.map(({ id }) => id)].sort(comparePackageIds);
  return selectPackage(ids, text);
}

/**
 * Selects one of the installed packages by `NAME` or `NAMESPACE/NAME`.
 *
 * @throws {Error} when it is not among them, with the nearest name; when it is in several namespaces, with all of them
 */
export function selectPackage<T extends PackageId>(ids: readonly T[], text: string): T {
  const selector = parsePackageId(text);
  const found = ids.filter((id) => isSelected(id, selector));
  const [first, second] = found;
  if (second !== undefined) {
    throw new CrpeError(
      cannot(
        `use the package ${JSON.stringify(text)}`,
        `it is installed in ${found.length} namespaces`,
        `name one of ${found.map(formatFullPackageId).join(", ")}`,
      ),
    );
  }
  if (first !== undefined) return first;
  const nearest = ids.length === 0 ? "; no package is" : didYouMean(text, ids.map(formatPackageId));
  throw new CrpeError(cannot(`use the package ${JSON.stringify(text)}`, `it is not installed${nearest}`));
}
