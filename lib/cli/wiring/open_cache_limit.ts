import { CacheLimit, type CacheLimitOptions } from "../../cache/cache_limit.ts";
import { collectKeptDigests } from "../../install/image_pins.ts";
import type { RecordError } from "../../install/records/record_file.ts";

/** Opens the size limit of a store. Pinned images, and what packages need, are never evicted. */
export async function openCacheLimit(options: Omit<CacheLimitOptions, "readKeep">): Promise<CacheLimit> {
  const reported = new Set<string>();
  const onProblem = ({ path, message }: RecordError) => {
    if (reported.has(path)) return;
    reported.add(path);
    options.warn?.(`${message}; the images that it still names are not evicted`);
  };
  return await CacheLimit.start({ ...options, readKeep: () => collectKeptDigests(options.root, { onProblem }) });
}
