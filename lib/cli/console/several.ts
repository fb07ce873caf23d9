import { describeError, exitStatusOf, printError } from "./describe_error.ts";
import type { Io } from "./io.ts";
import { formatJson } from "./table.ts";
import { UsageError } from "../../oci/error.ts";

/** Reports a result of an item, for the JSON array. */
export type ReportResult = (result: unknown) => void;

/** The failure of an item that was shown with its result, so that its reason is not printed a second time. */
export class ShownError extends Error {
  /** The failure, which decides the exit status. */
  readonly reason: unknown;

  constructor(reason: unknown) {
    super(describeError(reason), { cause: reason });
    this.reason = reason;
  }
}

/** What is done with the items of a command line. */
interface SeveralOptions {
  /** Handles one item. It may report results, also those of the error that it throws. */
  readonly run: (item: string, report: ReportResult) => Promise<void>;
  /** Whether the results are printed as one JSON array. A failed item without a result is `{item, error}`. */
  readonly asJson: boolean;
  /** Whether the stack traces of errors are printed. */
  readonly isDebug?: boolean;
}

/**
 * Does the same with several items, one after the other. An item that fails is reported, and does not stop the others;
 * the names of all failed ones are printed at the end.
 *
 * @returns the worst exit status: the highest number
 */
export async function runSeveral(
  items: readonly string[],
  io: Io,
  { run, asJson, isDebug = false }: SeveralOptions,
): Promise<number> {
  const results: unknown[] = [];
  const failed: string[] = [];
  let status = 0;
  for (const item of items) {
    const before = results.length;
    try {
      await run(item, (result) => results.push(result));
    } catch (error) {
      // The rest of the command line is not valid either.
      if (error instanceof UsageError) throw error;
      if (!(error instanceof ShownError)) printError(error, io, isDebug);
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
