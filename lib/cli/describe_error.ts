import { KubectlError } from "../agent/kubectl_error.ts";
import { FolderInUseError } from "../content/data_folder.ts";
import { DigestMismatchError } from "../content/verify.ts";
import { CorruptError, RefusedError } from "../oci/error.ts";
import { UsageError } from "./command.ts";
import { escapeControls } from "./escape_controls.ts";

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
