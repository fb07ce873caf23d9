import { type Command, EXIT_STATUS, type Flag } from "../command_line/command.ts";
import { listCommands, listFlags, type NamedCommand } from "./list_commands.ts";

/** A man page, and the name of its file. */
interface ManPage {
  /** `crpe-packages-history.1` */
  readonly file: string;
  readonly text: string;
}

/** What is at the head of each page. */
interface ManHead {
  readonly version: string;
  /** The day of the release: `2026-09-01`. */
  readonly day: string;
}

/** Formats the man pages (man(7)): one of crpe, and one of each command. */
export function formatManPages(commands: readonly Command[], head: ManHead): ManPage[] {
  const all = listCommands(commands);
  return [
    { file: "crpe.1", text: formatProgram(all, head) },
    ...all.map((it) => ({ file: `${pageOf(it.name)}.1`, text: formatCommand(it, head) })),
  ];
}

const pageOf = (name: string) => `crpe-${name.replaceAll(" ", "-")}`;

function formatProgram(commands: readonly NamedCommand[], head: ManHead): string {
  return join([
    ...formatHead("crpe", "a pull-only container registry, and a packer and importer of image bundles", head),
    ".SH SYNOPSIS",
    ".B crpe",
    "\\fICOMMAND\\fR [\\fIflags\\fR]",
    ".SH COMMANDS",
    ...commands.flatMap((
      { name, command },
    ) => [".TP", `\\fB${escape(`crpe ${name}`)}\\fR(1)`, escape(command.summary)]),
    ".SH EXIT STATUS",
    EXIT_STATUS,
  ]);
}

function formatCommand({ name, command }: NamedCommand, head: ManHead): string {
  const { operands, summary, details, subcommands = [], examples } = command;
  return join([
    ...formatHead(pageOf(name), summary, head),
    ".SH SYNOPSIS",
    `.B crpe ${escape(name)}`,
    escape(`${operands} [flags]`.trim()),
    ".SH DESCRIPTION",
    escape(`${summary[0]?.toUpperCase()}${summary.slice(1)}.`),
    ...(details ?? "").split("\n").filter((line) => line !== "").map(escape),
    ...subcommands.length === 0 ? [] : [".SH SUBCOMMANDS"],
    ...subcommands.flatMap((
      it,
    ) => [".TP", `\\fB${escape(`${pageOf(`${name} ${it.name}`)}`)}\\fR(1)`, escape(it.summary)]),
    ".SH OPTIONS",
    ...listFlags(command).flatMap((flag) => [".TP", formatFlag(flag), escape(flag.summary)]),
    ...examples.length === 0 ? [] : [".SH EXAMPLES"],
    ...examples.flatMap((
      [line, what],
    ) => [".PP", escape(`${what}:`), ".PP", ".RS 4", ".EX", escape(line), ".EE", ".RE"]),
    ".SH EXIT STATUS",
    EXIT_STATUS,
    ".SH SEE ALSO",
    ".BR crpe (1)",
  ]);
}

function formatHead(page: string, summary: string, { version, day }: ManHead): string[] {
  return [
    `.TH ${escape(page.toUpperCase())} 1 ${day} "crpe ${version}" "crpe"`,
    ".SH NAME",
    `${escape(page)} \\- ${escape(summary)}`,
  ];
}

function formatFlag({ name, short, value }: Flag): string {
  const long = `\\fB${escape(`--${name}`)}\\fR${value === undefined ? "" : ` \\fI${escape(value)}\\fR`}`;
  return short === undefined ? long : `\\fB\\-${short}\\fR, ${long}`;
}

// A hyphen would be set as a typographic one, and a leading dot or apostrophe would begin a request.
function escape(text: string): string {
  return text.replaceAll("\\", "\\e").replaceAll("-", "\\-").replaceAll("…", "...").replace(/^(?=[.'])/, "\\&");
}

function join(lines: readonly string[]): string {
  return lines.map((line) => `${line}\n`).join("");
}
