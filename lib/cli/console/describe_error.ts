import { DigestMismatchError } from "../../content/verifier.ts";
import { KubectlError } from "../../install/handover/kubectl_error.ts";
import { CorruptError, RefusedError } from "../../oci/error.ts";
import { FolderInUseError } from "../../store/data_folder.ts";
import type { Io } from "./io.ts";
import { UsageError } from "./usage_error.ts";

/** The exit status that stands for an error (contract, "Commands"). */
export function exitStatusOf(error: unknown): number {
  if (error instanceof UsageError) return 2;
  if (error instanceof RefusedError) return 3;
  if (error instanceof CorruptError || error instanceof DigestMismatchError) return 4;
  return 1;
}

/** One line that a person can act on. */
export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  // These have their lines on purpose.
  if (error instanceof FolderInUseError || error instanceof KubectlError) return error.message;
  return toOneLine(describeRefusal(error) ?? describeSystemError(error) ?? error.message);
}

/** Text without line breaks, and without what a terminal would obey. */
export function toOneLine(text: string): string {
  return escapeControls(text.replaceAll(/\s*[\r\n]+\s*/g, " ").trim());
}

// Deno keeps some places (/dev, /proc) for programs with all permissions, which crpe does not ask for.
function describeRefusal(error: Error): string | undefined {
  if (!(error instanceof Deno.errors.NotCapable)) return undefined;
  const path = /access to "([^"]*)"/.exec(error.message)?.[1];
  return `Cannot use ${path ?? "this"}: crpe has no permission for it; choose another place, or - for a stream`;
}

// Deno's messages end in the call and the path: `No such file or directory (os error 2): open 'x.tgz'`.
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
    : reason;
  return path === undefined ? `Cannot go on: ${why}` : `Cannot ${doing} ${path}: ${why}`;
}

const REASONS: readonly (readonly [abstract new (...args: never[]) => Error, string])[] = [
  [Deno.errors.NotFound, "there is no such file or folder"],
  [Deno.errors.PermissionDenied, "permission denied; check who owns it"],
  [Deno.errors.IsADirectory, "it is a folder, not a file"],
  [Deno.errors.NotADirectory, "a part of the path is a file, not a folder"],
];

/** What tells a person at the terminal of something that is wrong but need not stop anything. */
export function createWarning(io: Io): (message: string) => void {
  return (message) => io.err(`crpe: warning: ${toOneLine(message)}\n`);
}

// C0, DEL, C1; the ends of lines and paragraphs; what changes the direction of writing.
// deno-lint-ignore no-control-regex
const CONTROLS = /[\0-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]/g;

/**
 * Writes characters that a terminal would obey, or that would make a text look like another, as `\u001b`: names in
 * bundles, paths of requests and answers of registries are a stranger's choice.
 */
export function escapeControls(text: string): string {
  return text.replace(CONTROLS, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`);
}
