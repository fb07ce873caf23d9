/** `skipped` means that the step was not checked: an earlier step is broken, or the user excluded it. */
export type FindingStatus = "ok" | "warning" | "broken" | "skipped";

/** The result of one step of the doctor. */
export interface Finding {
  /** What was checked: `data folder`, `upstream quay.io`. */
  readonly step: string;
  readonly status: FindingStatus;
  /** The result in one line. */
  readonly message: string;
  /** What to do about a problem. */
  readonly advice?: string;
}

/** Returns the reason of an error whose message reads `Cannot X: reason`, and the whole message of any other error. */
export function reasonOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.replace(/^Cannot .*?: /s, "").replaceAll(/\s*\n\s*/g, " ");
}
