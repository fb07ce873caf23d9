import { isNoSpace } from "../files/no_space.ts";
import type { Digest } from "../oci/digest.ts";
import { NoSpaceError } from "../oci/error.ts";
import { isNotWritable } from "../files/not_writable.ts";
import type { BypassReason } from "./cache_event.ts";

/** Returns why the store cannot accept content now, so that it is served uncached; `undefined` for any other error. */
export function bypassReasonOf(error: unknown): BypassReason | undefined {
  if (error instanceof NoSpaceError || isNoSpace(error)) return "disk";
  return isNotWritable(error) ? "read-only" : undefined;
}

/** Creates the error of a blob for which there is not enough space within the size limit. */
export function beyondLimit(repo: string, digest: Digest): NoSpaceError {
  return new NoSpaceError(`Cannot cache ${digest} of ${repo}: not enough space within the cache limit`);
}
