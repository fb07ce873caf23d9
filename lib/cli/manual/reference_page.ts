import { type Command, COMMON_FLAGS, EXIT_STATUS, type Flag } from "../command_line/command.ts";
import { listCommands } from "./list_commands.ts";

/** Formats docs/cli.md: every command with its flags and examples. */
export function formatReferencePage(commands: readonly Command[]): string {
  const all = listCommands(commands);
  return [
    "# Commands",
    "",
    "This page is made from the table of commands by `deno task manual`. It says what `crpe COMMAND --help` says.",
    "",
    ...all.map(({ name, command }) => `- [\`crpe ${name}\`](#${anchorOf(`crpe ${name}`)}): ${escape(command.summary)}`),
    "",
    `Exit status: ${EXIT_STATUS}`,
    "",
    "Flags of every command:",
    "",
    ...formatFlags(COMMON_FLAGS),
    ...all.flatMap(({ name, command }) => ["", ...formatCommand(name, command)]),
    "",
  ].join("\n");
}

function formatCommand(name: string, { operands, summary, details, flags, examples }: Command): string[] {
  return [
    `## crpe ${name}`,
    "",
    "```text",
    `crpe ${name} ${operands}`.trimEnd() + " [flags]",
    "```",
    "",
    `${summary[0]?.toUpperCase()}${escape(summary.slice(1))}.`,
    ...details === undefined ? [] : ["", escape(details)],
    ...flags.length === 0 ? [] : ["", ...formatFlags(flags)],
    ...examples.flatMap((
      [line, what],
    ) => ["", `${what[0]?.toUpperCase()}${escape(what.slice(1))}:`, "", "```console", `$ ${line}`, "```"]),
  ];
}

function formatFlags(flags: readonly Flag[]): string[] {
  return [
    "| flag | does |",
    "| --- | --- |",
    ...flags.map(({ name, short, value, summary, isRepeatable }) => {
      const long = value === undefined ? `--${name}` : `--${name} ${value}`;
      const spelling = short === undefined ? `\`${long}\`` : `\`-${short}\`, \`${long}\``;
      const cells = [spelling, `${escape(summary)}${isRepeatable ? "; repeatable" : ""}`];
      // A cell ends also at a bar in a code span (GFM, 4.10).
      return `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
    }),
  ];
}

function anchorOf(heading: string): string {
  return heading.toLowerCase().replaceAll(" ", "-");
}

// In code spans of the help nothing is marked up, so that every special character is text.
function escape(text: string): string {
  return text.replaceAll(/[<>*_[\]]/g, "\\$&");
}
