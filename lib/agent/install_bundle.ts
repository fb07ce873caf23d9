import { importBundle, type ImportOptions, type ImportResult } from "../bundle/import_bundle.ts";
import type { ContentStore } from "../content/source.ts";
import type { PackageRecords } from "./package_records.ts";
import { writeHandover } from "./write_handover.ts";

/** Where a bundle is installed, and how. */
export interface InstallOptions
  extends Pick<ImportOptions, "force" | "dryRun" | "freeBytes" | "onPlan" | "onProgress"> {
  readonly store: ContentStore;
  readonly records: PackageRecords;
  /** The folder that the cluster's watcher polls. */
  readonly manifestsDir?: string | undefined;
}

/** What an installation did. */
export interface InstallResult extends ImportResult {
  /** The hand-over file that was written. */
  readonly handover?: string;
}

/**
 * Imports a bundle's content, hands its manifests over, and records the package: in this order, so that what was cut off
 * anywhere is done again from the place where it stopped.
 *
 * @throws as `importBundle` does
 */
export async function installBundle(
  stream: ReadableStream<Uint8Array>,
  { store, records, manifestsDir, ...options }: InstallOptions,
): Promise<InstallResult> {
  const result = await importBundle(stream, store, { ...options, findInstalled: (name) => records.read(name) });
  if (!result.isImported) return result;
  const handover = manifestsDir === undefined ? undefined : await writeHandover(manifestsDir, result.kubepkg);
  await records.write(result.kubepkg);
  return { ...result, ...(handover === undefined ? {} : { handover }) };
}
