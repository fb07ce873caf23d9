import { bypassReasonOf } from "./bypass_reason.ts";
import type { Digest } from "../oci/digest.ts";
import type { BypassReason } from "./cache_event.ts";
import type { CacheLimit } from "./cache_limit.ts";

/** Writes of manifests and tags that may fail without consequence for a client: content is then served uncached. */
export class StoreWrites {
  readonly #warn: (message: string) => void;
  // Reasons that were reported already.
  readonly #reported = new Set<BypassReason>();
  readonly #space: Pick<CacheLimit, "store"> | undefined;

  constructor(warn: (message: string) => void, space: Pick<CacheLimit, "store"> | undefined) {
    this.#warn = warn;
    this.#space = space;
  }

  /** Stores a manifest or its tag. Returns `false`, with a warning, if the store cannot accept content. */
  async attempt(digest: Digest, write: () => Promise<void>): Promise<boolean> {
    try {
      await (this.#space === undefined ? write() : this.#space.store(digest, write));
      this.#reported.clear();
      return true;
    } catch (error) {
      const why = bypassReasonOf(error);
      if (why === undefined) throw error;
      this.report(why);
      return false;
    }
  }

  /** Warns once per reason, until a write succeeds again: the reason is the same for all content. */
  report(why: BypassReason): void {
    if (this.#reported.has(why)) return;
    this.#reported.add(why);
    const reason = why === "read-only" ? "the data folder is not writable" : "there is no space left on the device";
    this.#warn(`Content from upstreams is served, but not cached: ${reason}`);
  }
}
