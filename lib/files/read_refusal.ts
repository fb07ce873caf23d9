import { isTooManyFiles, parseSystemError } from "../oci/system_error.ts";

// ENOMEM.
const NO_MEMORY = 12;

/**
 * Returns why the system refused to open a file that may be intact; `undefined` for all other errors, such as those of a
 * damaged file.
 */
export function describeReadRefusal(error: unknown): string | undefined {
  if (error instanceof Deno.errors.PermissionDenied || error instanceof Deno.errors.NotCapable) {
    return "permission denied; run crpe as its owner, or as root";
  }
  if (isTooManyFiles(error)) return "too many files are open; raise the limit (ulimit -n), or try again later";
  return parseSystemError(error)?.number === NO_MEMORY ? "the system has no memory left; try again later" : undefined;
}
