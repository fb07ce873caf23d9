import { CacheLimit, type CacheLimitOptions } from "../../cache/cache_limit.ts";
import { collectPackageDigests, PackageRecords } from "../../install/package_records.ts";

/** Keeps the store of a data folder within a size; what its packages need, or needed before, stays. */
export async function openCacheLimit(options: Omit<CacheLimitOptions, "readKeep">): Promise<CacheLimit> {
  const records = new PackageRecords(options.root);
  return await CacheLimit.open({ ...options, readKeep: () => collectPackageDigests(records) });
}
