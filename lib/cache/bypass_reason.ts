import { isNoSpace } from "../files/no_space.ts";
import { NoSpaceError } from "../oci/error.ts";
import { isNotWritable } from "../files/not_writable.ts";
import type { BypassReason } from "./cache_event.ts";

/** Returns why the store cannot accept content now, so that it is served uncached; `undefined` for any other error. */
export function bypassReasonOf(error: unknown): BypassReason | undefined {
  if (error instanceof NoSpaceError || isNoSpace(error)) return "disk";
  return isNotWritable(error) ? "read-only" : undefined;
}
