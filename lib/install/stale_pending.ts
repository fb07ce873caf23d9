import { packageIdOf } from "../kubepkg/package_id.ts";
import type { PackageRecords } from "./package_records.ts";
import type { PendingPackage } from "./pending_packages.ts";

/** Options of `endStalePending`. */
interface StalePendingOptions {
  /** The time without any received content after which a pending package ends, in milliseconds; 0 for never. */
  readonly ttl: number;
  /** Wall clock, in milliseconds. */
  readonly now?: () => number;
  /** Only lists the packages. */
  readonly dryRun?: boolean;
}

// A machine without a battery starts with a time long past until its clock is set. A record from such a start counts as
// written when it is first seen with a set clock.
const OLDEST_TIME = Date.UTC(2020, 0, 1);

/**
 * Ends pending packages of which nothing was received for a long time: their content may be collected then.
 *
 * @returns the packages that were ended
 */
export async function endStalePending(
  records: Pick<PackageRecords, "pending" | "lock">,
  { ttl, now = Date.now, dryRun = false }: StalePendingOptions,
): Promise<PendingPackage[]> {
  if (ttl === 0) return [];
  const isOld = (activity: number | undefined) => activity !== undefined && now() - activity > ttl;
  const ended: PendingPackage[] = [];
  for (const pending of (await records.pending.scan()).pending) {
    const activity = await records.pending.readActivity(pending);
    if (activity === undefined || !isOld(activity)) continue;
    if (activity < OLDEST_TIME) {
      if (!dryRun) await records.pending.touch(pending, now());
      continue;
    }
    // An import of a part writes the record while it holds the lock, and is noticed here.
    await using _lock = dryRun ? undefined : await records.lock();
    if (!isOld(await records.pending.readActivity(pending))) continue;
    if (!dryRun) await records.pending.remove(packageIdOf(pending.kubepkg));
    ended.push(pending);
  }
  return ended;
}
