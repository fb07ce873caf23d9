// Linux, and macOS where it differs not: ENFILE, EMFILE, ENOMEM.
const TOO_MANY = /\(os error (?:23|24)\)/;
const NO_MEMORY = /\(os error 12\)/;

/**
 * Returns why the system refused to open a file that may be intact; `undefined` for all other errors, such as those of a
 * damaged file.
 */
export function describeReadRefusal(error: unknown): string | undefined {
  if (error instanceof Deno.errors.PermissionDenied || error instanceof Deno.errors.NotCapable) {
    return "permission denied; run crpe as its owner, or as root";
  }
  const { message } = error as Error;
  if (TOO_MANY.test(message)) return "too many files are open; raise the limit (ulimit -n), or try again later";
  return NO_MEMORY.test(message) ? "the system has no memory left; try again later" : undefined;
}
