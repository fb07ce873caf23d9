import { CrpeError } from "./error.ts";

/** A call of the operating system that failed. */
interface SystemError {
  /** The number of the error, which differs between systems for some. */
  readonly number: number;
  /** The system's words, in lower case: `permission denied`. */
  readonly words: string;
  readonly call?: string | undefined;
  readonly path?: string | undefined;
  /** The second path of a call that has two. */
  readonly to?: string | undefined;
}

/**
 * Reads the error of the runtime for a failed call of the system. All of it is in the message,
 * `No such file or directory (os error 2): open 'x.tgz'`; only some of these errors have a class or a `code`.
 *
 * @returns `undefined` for all other errors. An error of crpe is one, whatever its message says: its parts are fields.
 */
export function parseSystemError(error: unknown): SystemError | undefined {
  if (!(error instanceof Error) || error instanceof CrpeError) return undefined;
  const [, words, number, call, path, to] = MESSAGE.exec(error.message) ?? [];
  return words === undefined ? undefined : { number: Number(number), words: inLowerCase(words), call, path, to };
}

const MESSAGE = /^(.*?) ?\(os error (\d+)\)(?:: (\w+) '([^']*)'(?: -> '([^']*)')?)?/s;

// Of Linux, and of macOS where it differs: ENFILE, EMFILE.
const TOO_MANY_FILES = [23, 24];

/** Reports whether a call failed because the process, or the system, has too many files open. */
export function isTooManyFiles(error: unknown): boolean {
  const number = parseSystemError(error)?.number;
  return number !== undefined && TOO_MANY_FILES.includes(number);
}

/** Returns the words of the system for a failed call of it, and the message of any other error, in lower case. */
export function describeSystemError(error: unknown): string {
  return parseSystemError(error)?.words ?? inLowerCase(error instanceof Error ? error.message : String(error));
}

function inLowerCase(words: string): string {
  return `${words.charAt(0).toLowerCase()}${words.slice(1)}`;
}
