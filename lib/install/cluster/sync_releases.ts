import { formatFullPackageId, type PackageId, packageIdOf } from "../../kubepkg/package_id.ts";
import { digestOfIdentity } from "../../kubepkg/version.ts";
import { cannot, RefusedError } from "../../oci/error.ts";
import { handOverPackage } from "../hand_over_package.ts";
import type { FolderHandover } from "../handover/folder_handover.ts";
import { type HandedOver, isSamePlace } from "../handover/handover_records.ts";
import { handoverFileName } from "../handover/manifest_file.ts";
import { baseNameOf } from "../handover/manifest_folder.ts";
import type { PackageRecords } from "../package_records.ts";
import { ClusterUnreachableError } from "./cluster_api.ts";
import type { ClusterReleases } from "./cluster_releases.ts";
import { decideSync, type OwnRelease, type SyncAction } from "./decide_release.ts";
import type { ClusterRelease, SharedContent } from "./release_secret.ts";
import { createFollowingHandover } from "./shared_handover.ts";

/** Dependencies of `syncReleases`. */
export interface SyncOptions {
  readonly records: PackageRecords;
  readonly handover: FolderHandover;
  readonly releases: ClusterReleases;
}

/** What a comparison with the cluster did to one package, or why it did not. */
export interface SyncReport {
  readonly package: PackageId;
  readonly action: SyncAction;
  /** The version that the action is about. */
  readonly version?: string;
  /** The server that installed or removed it, where it was another one. */
  readonly node?: string;
  /** The content of its images is not in the store of this server. */
  readonly isWithoutImages?: boolean;
  /** Why the action was not done. */
  readonly error?: unknown;
}

interface Known {
  readonly key: PackageId;
  readonly record: HandedOver | undefined;
  readonly release: ClusterRelease | undefined;
}

interface Compared extends Pick<Known, "record" | "release"> {
  readonly own: OwnRelease | undefined;
  readonly action: SyncAction;
}

/**
 * Compares all packages of this server with the newest releases in the cluster, and makes them equal. A package that cannot
 * be handled is reported, and the others are handled all the same.
 *
 * @returns a report for each package that was changed, or could not be
 * @throws {ClusterUnreachableError} when the cluster cannot be asked
 */
export async function syncReleases(options: SyncOptions): Promise<SyncReport[]> {
  const { records, releases: shared } = options;
  const { releases, problems } = await shared.list();
  const reports: SyncReport[] = problems.map((error) => ({
    package: { namespace: "", name: "" },
    action: "nothing",
    error,
  }));
  const found = new Map<string, Known>();
  for (const id of await records.listIds()) {
    try {
      const record = await records.handovers.read(id);
      const kubepkg = record?.kubepkg ?? record?.attempted;
      if (kubepkg === undefined) continue;
      const key = packageIdOf(kubepkg);
      found.set(formatFullPackageId(key), { key, record, release: undefined });
    } catch (error) {
      reports.push({ package: id, action: "nothing", error });
    }
  }
  for (const release of releases) {
    const label = formatFullPackageId(release.package);
    found.set(label, { key: release.package, record: found.get(label)?.record, release });
  }
  for (const known of found.values()) {
    const report = await syncPackage(known, options);
    if (report !== undefined) reports.push(report);
  }
  return reports;
}

async function syncPackage(known: Known, options: SyncOptions): Promise<SyncReport | undefined> {
  const { records, releases } = options;
  const { key } = known;
  let action: SyncAction = "nothing";
  try {
    // Without the lock: an import may hold it for long, and mostly there is nothing to do.
    if ((await compare(known, options)).action === "nothing") return undefined;
    await using _lock = await records.lock();
    const record = await records.handovers.read(key);
    const compared = await compare({ key, record, release: await releases.read(key) }, options);
    action = compared.action;
    return action === "nothing" ? undefined : await act(key, compared, options);
  } catch (error) {
    if (error instanceof ClusterUnreachableError) throw error;
    return { package: key, action, error };
  }
}

async function compare({ key: { namespace }, record, release }: Known, { handover }: SyncOptions): Promise<Compared> {
  const { kubepkg = record?.attempted, isRemoving = false, shared } = record ?? {};
  const place = await handover.place();
  // What is handed over in another folder, or by kubectl, is not this agent's.
  const isElsewhere = record !== undefined && !isSamePlace(record.place, place);
  if (isElsewhere || (kubepkg !== undefined && kubepkg.metadata.namespace !== namespace)) {
    return { record, own: undefined, release, action: "nothing" };
  }
  const own = kubepkg && { version: kubepkg.spec.version, identity: digestOfIdentity(kubepkg), isRemoving, shared };
  return { record, own, release, action: decideSync(own, release) };
}

// The caller holds the installation lock.
async function act(key: PackageId, compared: Compared, options: SyncOptions): Promise<SyncReport | undefined> {
  const { action, release, own } = compared;
  const origin = release === undefined ? {} : { version: release.version, node: release.node };
  switch (action) {
    case "write file":
      return await writeFile(release!, options);
    case "set aside":
    case "remove file":
      return { package: key, action, ...origin, ...await removeFile(key, compared, options) };
    case "publish":
    case "publish removal":
      return await publish(key, compared, options) ? { package: key, action, version: own?.version } : undefined;
    case "adopt":
      await options.records.handovers.write(key, {
        ...compared.record!,
        shared: { ...compared.record!.shared, generation: release!.generation, isUnpublished: false },
      });
      return undefined;
    case "nothing":
      return undefined;
  }
}

async function writeFile(release: ClusterRelease, { records, handover, releases }: SyncOptions) {
  const { package: key, version, node } = release;
  const content = await releases.readContent(release);
  // Replaced meanwhile: the next comparison has the newer one.
  if (content === undefined) return undefined;
  await handover.prepare();
  await handOverPackage(content.kubepkg, { handover: createFollowingHandover(handover, release, content), records });
  const installed = await records.read(key).catch(() => undefined);
  const isWithoutImages = Object.keys(content.kubepkg.spec.images).length > 0 &&
    (installed === undefined || digestOfIdentity(installed) !== release.identity);
  return { package: key, action: "write file", version, node, isWithoutImages } satisfies SyncReport;
}

async function removeFile(
  key: PackageId,
  { action, record, release }: Compared,
  { records, handover }: SyncOptions,
): Promise<Pick<SyncReport, "error">> {
  const left = await handover.removeOwnFiles(record?.files ?? []);
  if (left.length > 0) {
    const reason = action === "set aside"
      ? "is older than the release in the cluster"
      : "is of a package that was removed";
    return {
      error: new RefusedError(
        cannot(
          `remove ${left[0]!.path}`,
          `it ${reason}, but was changed by hand`,
          "remove it, or k3s applies it at its start",
        ),
      ),
    };
  }
  if (action === "remove file") await records.handovers.remove(key);
  else {
    const shared = { generation: release!.generation, isSynced: true, isSetAside: true };
    await records.handovers.write(key, { ...record!, files: [], shared });
  }
  return {};
}

async function publish(
  key: PackageId,
  { action, own, record, release }: Compared,
  { records, releases }: SyncOptions,
): Promise<boolean> {
  const { kubepkg = record?.attempted, kept = [], revision = 0, files = [], shared } = record!;
  const path = files.find((file) => file.path.endsWith(".yaml"))?.path;
  const fileName = path === undefined ? handoverFileName(kubepkg!) : baseNameOf(path);
  const content: SharedContent = { kubepkg: kubepkg!, kept, revision, fileName };
  const removal = { package: key, version: own!.version, identity: own!.identity };
  const written = await releases.write(action === "publish" ? content : removal, release, shared?.generation);
  // Another server was faster: the next comparison has its release.
  if (written === undefined) return false;
  const { isSynced } = shared ?? {};
  await records.handovers.write(key, {
    ...record!,
    shared: { generation: written.generation, ...(isSynced ? { isSynced } : {}) },
  });
  return true;
}
