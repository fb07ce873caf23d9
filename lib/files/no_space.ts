import { parseSystemError } from "../oci/system_error.ts";

// ENOSPC; EDQUOT of Linux and of macOS.
const NO_SPACE = [28, 122, 69];

/** Tests whether a write failed because the disk or quota is full. */
export function isNoSpace(error: unknown): boolean {
  const code = (error as { code?: string } | undefined)?.code;
  return code === "ENOSPC" || code === "EDQUOT" || NO_SPACE.includes(parseSystemError(error)?.number ?? 0);
}
