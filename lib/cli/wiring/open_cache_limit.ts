import { CacheLimit, type CacheLimitOptions } from "../../cache/cache_limit.ts";
import { collectPackageDigests } from "../../install/package_digests.ts";
import { PackageRecords } from "../../install/package_records.ts";

/** Opens the size limit of a store. Content of installed packages, and of versions they replaced, is never evicted. */
export async function openCacheLimit(options: Omit<CacheLimitOptions, "readKeep">): Promise<CacheLimit> {
  const records = new PackageRecords(options.root);
  return await CacheLimit.start({ ...options, readKeep: () => collectPackageDigests(records) });
}
