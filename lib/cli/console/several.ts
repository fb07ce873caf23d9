import { describeError, exitStatusOf, printError } from "./describe_error.ts";
import type { Io } from "./io.ts";
import { formatJson } from "./table.ts";
import { UsageError } from "../../oci/error.ts";

/** What is given to the handler of an item. */
export interface SeveralItem {
  /** Counted from 1. */
  readonly number: number;
  /** Reports a result for the JSON array, and prints its text where there is no array. */
  report(result: unknown, text?: string): void;
}

/** The failure of an item that was shown with its result, so that its reason is not printed a second time. */
export class ShownError extends Error {
  /** The failure, which decides the exit status. */
  readonly reason: unknown;

  constructor(reason: unknown) {
    super(describeError(reason), { cause: reason });
    this.reason = reason;
  }
}

/** Where the results of a command line go. */
interface SeveralOptions {
  /** The command line: `--debug` prints the stack traces of errors. */
  readonly invocation: { isSet(name: string): boolean };
  readonly io: Io;
  /** Whether the results are printed as one JSON array. A failed item without a result is `{item, error}`. */
  readonly asJson?: boolean;
}

/**
 * Does the same with several items, one after the other. An item that fails is reported, and does not stop the others;
 * the names of all failed ones are printed at the end.
 *
 * @param run handles one item; it may report results, also those of the error that it throws
 * @returns the worst exit status: the highest number
 */
export async function runSeveral(
  items: readonly string[],
  { invocation, io, asJson = invocation.isSet("json") }: SeveralOptions,
  run: (item: string, context: SeveralItem) => Promise<void>,
): Promise<number> {
  const results: unknown[] = [];
  const failed: string[] = [];
  const report = (result: unknown, text?: string) => {
    results.push(result);
    if (!asJson && text !== undefined) io.out(text);
  };
  let status = 0;
  for (const [i, item] of items.entries()) {
    const before = results.length;
    try {
      await run(item, { number: i + 1, report });
    } catch (error) {
      // The rest of the command line is not valid either.
      if (error instanceof UsageError) throw error;
      if (!(error instanceof ShownError)) printError(error, io, invocation.isSet("debug"));
      if (results.length === before) results.push({ item, error: describeError(error) });
      failed.push(item);
      status = Math.max(status, exitStatusOf(error instanceof ShownError ? error.reason : error));
    }
  }
  if (asJson) io.out(formatJson(results));
  if (failed.length > 0 && items.length > 1) {
    io.err(`crpe: ${failed.length} of ${items.length} failed: ${failed.join(", ")}\n`);
  }
  return status;
}
