import { CacheLimit, type CacheLimitOptions } from "../../cache/cache_limit.ts";
import { collectPackageDigests } from "../../install/package_digests.ts";
import { PackageRecords } from "../../install/package_records.ts";
import type { RecordError } from "../../install/records/record_file.ts";

/** Opens the size limit of a store. Content of installed packages, and of versions they replaced, is never evicted. */
export async function openCacheLimit(options: Omit<CacheLimitOptions, "readKeep">): Promise<CacheLimit> {
  const records = new PackageRecords(options.root);
  const reported = new Set<string>();
  const onProblem = ({ path, message }: RecordError) => {
    if (reported.has(path)) return;
    reported.add(path);
    options.warn?.(`${message}; the images that it still names are not evicted`);
  };
  return await CacheLimit.start({ ...options, readKeep: () => collectPackageDigests(records, { onProblem }) });
}
