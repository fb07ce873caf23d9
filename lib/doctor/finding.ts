/** `skipped`: it could not be looked at, because something before it is broken, or nobody wanted it. */
export type FindingStatus = "ok" | "warning" | "broken" | "skipped";

/** What one step of an examination found. */
export interface Finding {
  /** What was looked at: `data folder`, `upstream quay.io`. */
  readonly step: string;
  readonly status: FindingStatus;
  /** One line, for a person. */
  readonly message: string;
  /** What to do, where something is not as it should be. */
  readonly advice?: string;
}

/** The reason of an error that reads `Cannot X: reason`, and of any other all that it says. */
export function reasonOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.replace(/^Cannot .*?: /s, "").replaceAll(/\s*\n\s*/g, " ");
}
