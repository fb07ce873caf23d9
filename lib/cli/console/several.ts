import { describeError, exitStatusOf } from "./describe_error.ts";
import type { Io } from "./io.ts";
import { formatJson } from "./table.ts";
import { UsageError } from "./usage_error.ts";

/** What was done with the items of a command line. */
export interface SeveralOptions {
  /** Whether the results are printed as one JSON array: a failed item is an object with `item` and `error`. */
  readonly asJson: boolean;
  /** Whether the stack traces of errors are printed. */
  readonly isDebug?: boolean;
}

/**
 * Does the same with several items, one after the other. An item that fails is reported, and does not stop the others;
 * the names of all failed ones are printed at the end.
 *
 * @param run returns the results of one item for the JSON array
 * @returns the worst exit status
 */
export async function runSeveral(
  items: readonly string[],
  io: Io,
  { run, asJson, isDebug }: SeveralOptions & { readonly run: (item: string) => Promise<readonly unknown[]> },
): Promise<number> {
  const results: unknown[] = [];
  const failed: string[] = [];
  let status = 0;
  for (const item of items) {
    try {
      results.push(...await run(item));
    } catch (error) {
      // The rest of the command line is not valid either.
      if (error instanceof UsageError) throw error;
      const message = describeError(error);
      io.err(`crpe: ${message}\n`);
      if (isDebug && error instanceof Error) io.err(`${error.stack ?? error.message}\n`);
      results.push({ item, error: message });
      failed.push(item);
      status = Math.max(status, exitStatusOf(error));
    }
  }
  if (asJson) io.out(formatJson(results));
  if (failed.length > 0 && items.length > 1) {
    io.err(`crpe: ${failed.length} of ${items.length} failed: ${failed.join(", ")}\n`);
  }
  return status;
}
