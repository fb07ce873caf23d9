/** Tells whether a failed write is due to a full disk or quota. */
export function isNoSpace(error: unknown): boolean {
  const code = (error as { code?: string } | undefined)?.code;
  return code === "ENOSPC" || code === "EDQUOT" ||
    (error instanceof Error && /os error (?:28|122)\b/.test(error.message));
}
