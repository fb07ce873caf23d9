import { CrpeError } from "../oci/error.ts";

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

/** Returns the reason and the advice of an error of crpe, and the whole message of any other one, as one line. */
export function reasonOf(error: unknown): string {
  const text = error instanceof CrpeError ? error.explanation : error instanceof Error ? error.message : String(error);
  return text.replaceAll(/\s*\n\s*/g, " ");
}
