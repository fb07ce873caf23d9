import { PackageRecords } from "../../install/package_records.ts";
import { removePackage } from "../../install/remove_package.ts";
import { listVersions, rollBackPackage, type RollbackResult } from "../../install/rollback_package.ts";
import type { KubePkg } from "../../kubepkg/kubepkg.ts";
import { DiskStore } from "../../store/disk_store.ts";
import { forgetImages } from "../../store/forget_images.ts";
import { takeWriteLease } from "../../store/write_lease.ts";
import type { Invocation } from "../command_line/command.ts";
import { didYouMean } from "../command_line/parse_command_line.ts";
import { readSettings } from "../command_line/settings.ts";
import { createWarning } from "../console/describe_error.ts";
import type { Io } from "../console/io.ts";
import { formatTime, parseDuration } from "../console/quantity.ts";
import { formatJson, formatTable } from "../console/table.ts";
import { createHandover, readHandoverPlace } from "../wiring/open_handover.ts";

/** `crpe packages` */
export async function runPackages(invocation: Invocation, io: Io): Promise<number> {
  const { data } = await readSettings(invocation, io);
  const packages = await new PackageRecords(data).list();
  if (invocation.isSet("json")) {
    io.out(formatJson(packages));
    return 0;
  }
  const rows = packages.map(({ metadata, spec }) => [
    metadata.name,
    spec.version,
    metadata.namespace,
    String(Object.keys(spec.images).length),
    String(Object.keys(spec.manifests).length),
  ]);
  io.out(formatTable(["PACKAGE", "VERSION", "NAMESPACE", "IMAGES", "MANIFESTS"], rows));
  return 0;
}

/** `crpe packages history` */
export async function runPackageHistory(invocation: Invocation, io: Io): Promise<number> {
  const { data } = await readSettings(invocation, io);
  const records = new PackageRecords(data);
  const [name = ""] = invocation.arguments;
  const installed = await findInstalledPackage(records, name);
  const versions = listVersions(installed, await records.listHistory(name));
  if (invocation.isSet("json")) {
    io.out(formatJson(versions.map((kubepkg) => ({ installed: kubepkg === installed, kubepkg }))));
    return 0;
  }
  const rows = versions.map((kubepkg) => [
    kubepkg.spec.version,
    kubepkg === installed ? "yes" : "",
    String(Object.keys(kubepkg.spec.images).length),
    String(Object.keys(kubepkg.spec.manifests).length),
  ]);
  io.out(formatTable(["VERSION", "INSTALLED", "IMAGES", "MANIFESTS"], rows));
  return 0;
}

/** `crpe packages remove` */
export async function runRemovePackage(invocation: Invocation, io: Io): Promise<number> {
  const { data } = await readSettings(invocation, io);
  const records = new PackageRecords(data);
  const [name = ""] = invocation.arguments;
  const given = readHandoverPlace(invocation);
  const wait = parseDuration(invocation.flag("wait") ?? "20s", "--wait");
  const waitForWatcher = async () => {
    if (!invocation.isSet("quiet")) {
      io.err(`waiting ${formatTime(wait)} for the cluster to notice that the manifests of ${name} are gone\n`);
    }
    await new Promise((resolve) => setTimeout(resolve, wait));
  };
  await findInstalledPackage(records, name);
  using _lease = await takeWriteLease(data);
  const { version, handedOver, untagged } = await removePackage(name, {
    records,
    openHandover: (recorded) => {
      const place = given ?? recorded;
      return place === undefined ? undefined : createHandover(place, { records, waitForWatcher });
    },
    forgetImages: (images, keep) => forgetImages(data, images, keep),
  });
  if (invocation.isSet("json")) {
    io.out(formatJson({ name, version, handover: handedOver?.where, left: handedOver?.left, untagged }));
    return 0;
  }
  const lines = [
    `removed ${name}@${version}`,
    handedOver === undefined
      ? "  the cluster was not changed: the package was not handed over"
      : `  its objects were removed from ${handedOver.where}`,
    ...(handedOver?.left ?? []).map((object) => `  left in the cluster, still needed by another package: ${object}`),
    ...untagged.map((reference) => `  - ${reference}`),
    "  crpe gc frees the space of its images",
  ];
  io.out(lines.map((line) => `${line}\n`).join(""));
  return 0;
}

/** `crpe packages rollback` */
export async function runRollback(invocation: Invocation, io: Io): Promise<number> {
  const { data } = await readSettings(invocation, io);
  const records = new PackageRecords(data);
  const [name = ""] = invocation.arguments;
  const given = readHandoverPlace(invocation);
  await findInstalledPackage(records, name);
  using _lease = await takeWriteLease(data);
  const warn = createWarning(io);
  const result = await rollBackPackage(name, {
    store: new DiskStore(data, { warn }),
    records,
    to: invocation.flag("to"),
    openHandover: (recorded) => {
      const place = given ?? recorded;
      return place === undefined ? undefined : createHandover(place, { records });
    },
  });
  if (result.handedOver?.note !== undefined) warn(result.handedOver.note);
  if (invocation.isSet("json")) {
    const { isChanged, handedOver, ...what } = result;
    io.out(formatJson({ ...what, rolledBack: isChanged, handover: handedOver?.where, left: handedOver?.left }));
  } else io.out(formatResult(result));
  return 0;
}

function formatResult({ name, from, to, isChanged, handedOver }: RollbackResult): string {
  if (!isChanged) return `${name}@${to} is installed already; nothing to do\n`;
  const lines = [`rolled ${name} back from ${from} to ${to}`];
  if (handedOver === undefined) {
    lines.push("  not handed over: no earlier hand-over is recorded; choose --manifests-dir or --kubectl");
  } else {
    lines.push(`  handed over to ${handedOver.where}`);
    lines.push(...handedOver.left.map((object) => `  left in the cluster: ${object}`));
  }
  return lines.map((line) => `${line}\n`).join("");
}

/** Finds an installed package by name. @throws {Error} when it is not installed; it suggests the nearest name */
export async function findInstalledPackage(records: PackageRecords, name: string): Promise<KubePkg> {
  const installed = await records.list();
  const found = installed.find(({ metadata }) => metadata.name === name);
  if (found !== undefined) return found;
  const names = installed.map(({ metadata }) => metadata.name);
  const nearest = names.length === 0 ? "no package is" : didYouMean(name, names);
  throw new Error(`Cannot use the package ${JSON.stringify(name)}: it is not installed; ${nearest}`);
}
