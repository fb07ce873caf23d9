import type { PackageRecords } from "../../install/package_records.ts";
import type { Receipt } from "../../install/receipts.ts";
import { listVersions } from "../../install/rollback_package.ts";
import type { KubePkg } from "../../kubepkg/kubepkg.ts";
import {
  comparePackageIds,
  formatFullPackageId,
  formatPackageId,
  formatRelease,
  isSamePackage,
  type PackageId,
  packageIdOf,
  parsePackageId,
} from "../../kubepkg/package_id.ts";
import { absentIfBroken } from "../../install/records/record_file.ts";
import type { TrustVerdict } from "../../signature/trust_policy.ts";
import type { Invocation } from "../command_line/command.ts";
import { didYouMean } from "../command_line/parse_command_line.ts";
import { readSettings } from "../command_line/settings.ts";
import { createWarning, toOneLine } from "../console/describe_error.ts";
import type { Io } from "../console/io.ts";
import { formatDate } from "../console/quantity.ts";
import { formatJson, formatTable } from "../console/table.ts";
import { warnOfData } from "../wiring/check_data.ts";
import { openRecords } from "../wiring/open_packages.ts";

/** `crpe packages` */
export async function runPackages(invocation: Invocation, io: Io): Promise<number> {
  if (invocation.isSet("pending")) {
    const { data } = await readSettings(invocation, io);
    await warnOfData(data, io);
    return await (await import("./packages_pending.ts")).runPendingPackages(data, invocation, io);
  }
  const records = await openRecords(invocation, io);
  const { packages, problems } = await records.scan();
  const removing = await listRemoving(records, packages);
  const warn = createWarning(io);
  for (const { error } of problems) warn(error.message);
  if (invocation.isSet("json")) {
    const unreadable = problems.map(({ id: { namespace, name }, error: { message } }) => {
      return { kind: "KubePkg", metadata: { name, namespace }, error: toOneLine(message) };
    });
    const found = await Promise.all(packages.map(async (it) => {
      const trust = await readVerdict(records, it);
      return { ...it, ...(removing.has(it) ? { removing: true } : {}), trust };
    }));
    io.out(formatJson([...found, ...unreadable]));
    return 0;
  }
  const verdicts = await Promise.all(packages.map((it) => readVerdict(records, it)));
  const isSigned = verdicts.some((verdict) => verdict !== undefined);
  const rows = packages.map((it, i) => [
    it.metadata.name,
    it.spec.version,
    it.metadata.namespace,
    String(Object.keys(it.spec.images).length),
    String(Object.keys(it.spec.manifests).length),
    ...(isSigned ? [verdicts[i]?.state ?? "-"] : []),
    removing.has(it) ? "being removed" : "",
  ]);
  const unreadable = problems.map(({ id: { namespace, name } }) => {
    return [name, "(unreadable)", namespace, "?", "?", ...(isSigned ? ["?"] : []), ""];
  });
  const headings = ["PACKAGE", "VERSION", "NAMESPACE", "IMAGES", "MANIFESTS", ...(isSigned ? ["ORIGIN"] : [])];
  io.out(formatTable([...headings, removing.size === 0 ? "" : "STATE"], [...rows, ...unreadable]));
  const { pending } = await records.pending.scan();
  if (pending.length > 0 && !invocation.isSet("quiet")) {
    const names = pending.map(({ kubepkg }) => formatRelease(kubepkg)).join(", ");
    io.err(`pending, not installed: ${names} (crpe packages --pending)\n`);
  }
  return 0;
}

// A release without evidence was installed unsigned, or by an earlier crpe.
async function readVerdict(records: PackageRecords, kubepkg: KubePkg): Promise<TrustVerdict | undefined> {
  return (await records.trust.read(kubepkg).catch(absentIfBroken))?.verdict;
}

// Packages whose removal was handed over and is not confirmed yet.
async function listRemoving(records: PackageRecords, packages: readonly KubePkg[]): Promise<Set<KubePkg>> {
  const found = new Set<KubePkg>();
  for (const kubepkg of packages) {
    const handedOver = await records.handovers.read(packageIdOf(kubepkg)).catch(() => undefined);
    if (handedOver?.isRemoving) found.add(kubepkg);
  }
  return found;
}

/** `crpe packages history` */
export async function runPackageHistory(invocation: Invocation, io: Io): Promise<number> {
  const records = await openRecords(invocation, io);
  const id = await findInstalledPackage(records, invocation.arguments[0] ?? "");
  const installed = (await records.read(id))!;
  const { packages, problems, dates } = await records.scanHistory(id);
  const installedAt = await records.readDate(id);
  const warn = createWarning(io);
  for (const { error } of problems) warn(error.message);
  const versions = listVersions(installed, packages.filter((kubepkg) => isSamePackage(packageIdOf(kubepkg), id)));
  const dateOf = (kubepkg: KubePkg) => kubepkg === installed ? installedAt : dates.get(kubepkg);
  if (invocation.isSet("json")) {
    io.out(formatJson(versions.map((it) => ({ installed: it === installed, date: dateOf(it), kubepkg: it }))));
    return 0;
  }
  const rows = versions.map((kubepkg: KubePkg) => [
    kubepkg.spec.version,
    formatDate(dateOf(kubepkg)),
    kubepkg === installed ? "yes" : "-",
    String(Object.keys(kubepkg.spec.images).length),
    String(Object.keys(kubepkg.spec.manifests).length),
  ]);
  io.out(formatTable(["VERSION", "DATE (UTC)", "INSTALLED", "IMAGES", "MANIFESTS"], rows));
  return 0;
}

/** `crpe packages receipt` */
export async function runPackageReceipt(invocation: Invocation, io: Io): Promise<number> {
  io.out(formatJson(await readPackageReceipt(invocation, io)));
  return 0;
}

/** Reads the receipt of the package that a command names. @throws {Error} when it has none */
export async function readPackageReceipt(invocation: Invocation, io: Io): Promise<Receipt> {
  const records = await openRecords(invocation, io);
  const id = await findInstalledPackage(records, invocation.arguments[0] ?? "");
  const receipt = await records.receipts.read(id);
  if (receipt === undefined) {
    throw new Error(
      `Cannot print the receipt of ${formatPackageId(id)}: an earlier crpe, which wrote none, installed it`,
    );
  }
  return receipt;
}

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
  const found = ids.filter(({ namespace, name }) => {
    return name === selector?.name && (selector.namespace ?? namespace) === namespace;
  });
  const [first, second] = found;
  if (second !== undefined) {
    throw new Error(
      `Cannot use the package ${JSON.stringify(text)}: it is installed in ${found.length} namespaces; name one of ${
        found.map(formatFullPackageId).join(", ")
      }`,
    );
  }
  if (first !== undefined) return first;
  const nearest = ids.length === 0 ? "; no package is" : didYouMean(text, ids.map(formatPackageId));
  throw new Error(`Cannot use the package ${JSON.stringify(text)}: it is not installed${nearest}`);
}
