import { escapeControls } from "../../oci/escape_controls.ts";
import { OtherArchiveError } from "../../bundle/other_archive.ts";
import { DigestMismatchError } from "../../content/verifier.ts";
import { KubectlError } from "../../install/handover/kubectl_error.ts";
import { RecordError } from "../../install/records/record_file.ts";
import { CorruptError, OverruledError, RefusedError } from "../../oci/error.ts";
import { FolderInUseError } from "../../store/data_folder.ts";
import type { Io } from "./io.ts";
import { UsageError } from "./usage_error.ts";

/** Maps an error to the exit status of the process; see "Exit status" in docs/cli.md. */
export function exitStatusOf(error: unknown): number {
  if (error instanceof UsageError) return 2;
  if (error instanceof RefusedError) return 3;
  if (error instanceof OtherArchiveError || error instanceof RecordError && !error.isDamaged) return 1;
  if (error instanceof CorruptError || error instanceof DigestMismatchError) return 4;
  return 1;
}

/** Formats an error as one line for the terminal; a `FolderInUseError` and a `KubectlError` keep their own lines. */
export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  // These messages span several lines on purpose.
  if (error instanceof FolderInUseError || error instanceof KubectlError) return error.message;
  const overrule = error instanceof OverruledError ? error.overrule : undefined;
  const message = describeRefusal(error) ?? describeSystemError(error) ?? error.message;
  return toOneLine(overrule === undefined ? message : `${message}; ${overrule.advice}`);
}

/** Joins the lines of a text into one, and escapes its control characters. */
export function toOneLine(text: string): string {
  return escapeControls(text.replaceAll(/\s*[\r\n]+\s*/g, " ").trim());
}

// Deno allows access to some paths (/dev, /proc) only with all permissions, which crpe does not request.
function describeRefusal(error: Error): string | undefined {
  if (!(error instanceof Deno.errors.NotCapable)) return undefined;
  const path = /access to "([^"]*)"/.exec(error.message)?.[1];
  const stream = path !== undefined && /^\/(?:dev|proc\/self)\//.test(path) ? ", or - for a stream" : "";
  return `Cannot use ${path ?? "this"}: crpe has no permission for it; choose another path${stream}`;
}

// Deno's messages end with the call and the path: `No such file or directory (os error 2): open 'x.tgz'`.
function describeSystemError(error: Error): string | undefined {
  const match = /\(os error \d+\)(?:: (?<call>\w+) '(?<path>[^']*)'(?: -> '(?<to>[^']*)')?)?/.exec(error.message);
  if (match === null) return undefined;
  const path = match.groups?.to ?? match.groups?.path;
  const doing = match.groups?.call === "mkdir" || match.groups?.to !== undefined ? "write" : "use";
  const reason = REASONS.find(([kind]) => error instanceof kind)?.[1] ??
    error.message.slice(0, match.index).trim().toLowerCase();
  const why = /os error (?:28|122)\b/.test(error.message)
    ? "no space left on the device; free some, or choose another folder with --data"
    : /os error 30\b/.test(error.message)
    ? "the file system is read-only; choose another folder with --data"
    : /os error (?:23|24)\b/.test(error.message)
    ? "too many files are open; raise the limit (ulimit -n)"
    : reason;
  return path === undefined ? `Cannot continue: ${why}` : `Cannot ${doing} ${path}: ${why}`;
}

const REASONS: readonly (readonly [abstract new (...args: never[]) => Error, string])[] = [
  [Deno.errors.NotFound, "there is no such file or folder"],
  [Deno.errors.PermissionDenied, "permission denied; check its owner and mode"],
  [Deno.errors.IsADirectory, "it is a folder, not a file"],
  [Deno.errors.NotADirectory, "a part of the path is a file, not a folder"],
];

/** Creates a function that prints a warning to standard error. */
export function createWarning(io: Io): (message: string) => void {
  return (message) => io.err(`crpe: ${paint("warning:", "yellow", io)} ${toOneLine(message)}\n`);
}

/** Prints an error to standard error. @param isDebug whether its stack trace is printed too */
export function printError(error: unknown, io: Io, isDebug: boolean): void {
  io.err(`${paint("crpe:", "red", io)} ${describeError(error)}\n`);
  if (isDebug && error instanceof Error) io.err(`${formatStack(error)}\n`);
}

function formatStack(error: Error): string {
  const cause = error.cause instanceof Error ? `\nCaused by: ${formatStack(error.cause)}` : "";
  return `${error.stack ?? error.message}${cause}`;
}

const COLORS = { red: 31, yellow: 33 } as const;

/** Colours a word where the terminal shows colours. The word has to say the same without them. */
export function paint(text: string, color: keyof typeof COLORS, { isColored }: Pick<Io, "isColored">): string {
  return isColored ? `\x1b[${COLORS[color]}m${text}\x1b[0m` : text;
}
