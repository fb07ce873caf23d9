import { escapeControls } from "../../oci/escape_controls.ts";
import { KubectlError } from "../../install/handover/kubectl_error.ts";
import { CrpeError } from "../../oci/error.ts";
import type { Io } from "./io.ts";
import { isTooManyFiles, parseSystemError } from "../../oci/system_error.ts";
import { isNoSpace } from "../../files/no_space.ts";
import { redactLogins } from "../../upstream/transport/redact.ts";

/** Returns the exit status of a command that fails with an error; see "Exit status" in docs/cli.md. */
export function exitStatusOf(error: unknown): number {
  return error instanceof CrpeError ? error.exit : 1;
}

/** Formats an error as one line for the terminal; a `KubectlError` keeps its lines. */
export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error instanceof KubectlError) return error.message;
  const overrule = error instanceof CrpeError ? error.overrule : undefined;
  const message = describeRefusal(error) ?? describeFailedCall(error) ?? error.message;
  return toOneLine(overrule === undefined ? message : `${message}; ${overrule.advice}`);
}

/** Joins the lines of a text into one, hides logins of URLs, and escapes its control characters. */
export function toOneLine(text: string): string {
  return escapeControls(redactLogins(text.replaceAll(/\s*[\r\n]+\s*/g, " ").trim()));
}

// Deno allows access to some paths (/dev, /proc) only with all permissions, which crpe does not request.
function describeRefusal(error: Error): string | undefined {
  if (!(error instanceof Deno.errors.NotCapable)) return undefined;
  const path = /access to "([^"]*)"/.exec(error.message)?.[1];
  const stream = path !== undefined && /^\/(?:dev|proc\/self)\//.test(path) ? ", or - for a stream" : "";
  return `Cannot use ${path ?? "this"}: crpe has no permission for it; choose another path${stream}`;
}

function describeFailedCall(error: Error): string | undefined {
  const failed = parseSystemError(error);
  if (failed === undefined) return undefined;
  const { number, call, to, path = to } = failed;
  const doing = call === "mkdir" || to !== undefined ? "write" : "use";
  const why = isNoSpace(error)
    ? "no space left on the device; free some, or choose another folder with --data"
    : number === READ_ONLY
    ? "the file system is read-only; choose another folder with --data"
    : isTooManyFiles(error)
    ? "too many files are open; raise the limit (ulimit -n)"
    : REASONS.find(([kind]) => error instanceof kind)?.[1] ?? failed.words;
  return path === undefined ? `Cannot continue: ${why}` : `Cannot ${doing} ${path}: ${why}`;
}

// EROFS.
const READ_ONLY = 30;

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
