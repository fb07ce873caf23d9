import { CacheLimit, type CacheLimitOptions } from "../../cache/cache_limit.ts";
import { collectKeptDigests } from "../../install/image_pins.ts";

/** Opens the size limit of a store. Pinned images, and what packages need, are never evicted. */
export async function openCacheLimit(options: Omit<CacheLimitOptions, "readKeep">): Promise<CacheLimit> {
  return await CacheLimit.start({ ...options, readKeep: () => collectKeptDigests(options.root) });
}
