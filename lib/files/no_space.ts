import { parseSystemError } from "../oci/system_error.ts";

// ENOSPC; EDQUOT of Linux and of macOS.
const NO_SPACE = [28, 122, 69];

/** Tests whether a write failed because the disk or quota is full, also where the error of it is the cause of another. */
export function isNoSpace(error: unknown): boolean {
  const { code, cause } = (error ?? {}) as { code?: string; cause?: unknown };
  return code === "ENOSPC" || code === "EDQUOT" || NO_SPACE.includes(parseSystemError(error)?.number ?? 0) ||
    cause !== undefined && isNoSpace(cause);
}
