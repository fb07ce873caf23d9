import { toOneLine } from "./describe_error.ts";
import type { Io } from "./io.ts";

/** What tells a person at the terminal of something that is wrong but need not stop anything. */
export function createWarning(io: Io): (message: string) => void {
  return (message) => io.err(`crpe: warning: ${toOneLine(message)}\n`);
}
