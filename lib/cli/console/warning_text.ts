import { createWarning, paint, toOneLine } from "./describe_error.ts";
import type { Io } from "./io.ts";

/** Largest number of lines that are printed. */
const MAX_LINES = 50;
const MAX_LENGTH = 2000;

/**
 * Prints messages to standard error, one a line, and the number of those that are too many.
 *
 * @param level `error` where they make the command fail
 */
export function printWarnings(messages: readonly string[], level: "warning" | "error", io: Io): void {
  const print = level === "warning" ? createWarning(io) : (message: string) => {
    io.err(`crpe: ${paint("error:", "red", io)} ${toOneLine(message)}\n`);
  };
  for (const line of limitLines(messages)) print(line);
}

/** The first lines of a list, and how many more there are. */
export function limitLines(lines: readonly string[]): string[] {
  const shown = lines.slice(0, lines.length > MAX_LINES ? MAX_LINES - 1 : MAX_LINES).map((line) => {
    return line.length > MAX_LENGTH ? `${line.slice(0, MAX_LENGTH)}…` : line;
  });
  const rest = lines.length - shown.length;
  return rest === 0 ? shown : [...shown, `and ${rest} more`];
}
