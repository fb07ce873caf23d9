import { collectPackageDigests } from "../agent/package_digests.ts";
import { PackageRecords } from "../agent/package_records.ts";
import { CacheLimit, type CacheLimitOptions } from "../content/cache_limit.ts";

/** Keeps the store of a data folder within a size; what its packages need, or needed before, stays. */
export async function openCacheLimit(options: Omit<CacheLimitOptions, "readKeep">): Promise<CacheLimit> {
  const records = new PackageRecords(options.root);
  return await CacheLimit.open({ ...options, readKeep: () => collectPackageDigests(records) });
}
