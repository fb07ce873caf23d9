import { describeError } from "../../lib/cli/console/describe_error.ts";
import type { Random } from "../support/random.ts";

/** A fault of crpe that a case has revealed. */
export class FaultError extends Error {
  override readonly name = "FaultError";
}

/** An input that strangers or damage can change, and the code that reads it. */
export interface FuzzTarget {
  readonly name: string;
  /** The outcomes that show that the cases reach the code that they are meant for. */
  readonly outcomes: readonly string[];
  /** How many cases the tests run: what some seconds allow. */
  readonly cases: number;
  /** Prepares the cases. @param folder exists, is empty, and is the only one that is written to */
  prepare(folder: string): Promise<FuzzCases>;
}

/** The prepared cases of a target. */
export interface FuzzCases extends AsyncDisposable {
  /**
   * Runs one case.
   *
   * @param describe tells what the case is, for a finding
   * @returns the outcome
   * @throws {FaultError} for a fault of crpe; any other error is one too
   */
  run(random: Random, describe: (what: string) => void): Promise<string>;
}

/** Throws a `FaultError`. */
export function fault(message: string): never {
  throw new FaultError(message);
}

/** The error classes that a reader may throw. */
export type ErrorKinds = readonly (abstract new (...args: never[]) => Error)[];

// deno-lint-ignore no-control-regex
const LINE = /^Cannot [^\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]+$/;
const MAX_MESSAGE = 4000;

/**
 * Checks an error: one of the allowed classes, with a message of one printable line, in which no secret is.
 *
 * @returns the name of the error
 */
export function checkError(error: unknown, kinds: ErrorKinds, secret?: string): string {
  const kind = kinds.find((each) => error instanceof each);
  if (kind === undefined || !(error instanceof Error)) {
    return fault(`unexpected error: ${error instanceof Error ? error.stack : String(error)}`);
  }
  checkMessage(describeError(error), secret);
  return kind.name;
}

/** Checks a message as `checkError` does. */
export function checkMessage(message: string, secret?: string): void {
  if (!LINE.test(message) || message.length > MAX_MESSAGE) {
    fault(`not one printable line: ${JSON.stringify(message.slice(0, 600))}`);
  }
  if (secret !== undefined && message.includes(secret)) fault(`the message has a secret: ${JSON.stringify(message)}`);
}

/** Checks that no case has changed the prototype of all objects. */
export function checkPrototype(): void {
  const found = Object.keys(Object.prototype);
  if (found.length > 0 || "polluted" in {}) fault(`the prototype of all objects has ${JSON.stringify(found)}`);
}
