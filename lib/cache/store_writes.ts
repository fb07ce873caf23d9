import { bypassReasonOf } from "./bypass_reason.ts";
import type { BypassReason } from "./cache_event.ts";

/** Writes to the store that may fail without consequence for a client, whose content is then served uncached. */
export class StoreWrites {
  readonly #warn: (message: string) => void;
  // Reasons that were reported already.
  readonly #reported = new Set<BypassReason>();

  constructor(warn: (message: string) => void) {
    this.#warn = warn;
  }

  /** Writes to the store. Returns `false`, with a warning, if the store cannot accept content. */
  async attempt(write: () => Promise<void>): Promise<boolean> {
    try {
      await write();
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
