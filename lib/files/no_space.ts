/** Tests whether a write failed because the disk or quota is full. */
export function isNoSpace(error: unknown): boolean {
  const code = (error as { code?: string } | undefined)?.code;
  return code === "ENOSPC" || code === "EDQUOT" ||
    (error instanceof Error && /os error (?:28|122)\b/.test(error.message));
}
