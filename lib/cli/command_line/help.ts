import { type Command, type CommandUsage, COMMON_FLAGS, EXIT_STATUS, type Flag } from "./command.ts";

/** Formats the help of the whole program. */
export function formatProgramHelp(commands: readonly CommandUsage[]): string {
  const rows = commands.map(({ name, operands, summary }): [string, string] => [`${name} ${operands}`.trim(), summary]);
  return [
    "crpe, Container Registry Pocket Edition: a pull-only registry with a pull-through cache,",
    "and a packer and importer of image bundles for sites without a network.",
    "",
    "Usage: crpe COMMAND [flags]",
    "",
    "Commands:",
    ...formatRows(rows),
    "",
    "  crpe COMMAND --help      what a command does, and its flags",
    "  crpe --version, -v       the version",
    "",
  ].join("\n");
}

/** Formats the help of one command. */
export function formatCommandHelp(command: Command): string {
  const usage = `Usage: crpe ${command.name} ${command.operands}`.trimEnd();
  return [
    `${usage} [flags]`,
    "",
    `${command.summary[0]?.toUpperCase()}${command.summary.slice(1)}.`,
    ...(command.details === undefined ? [] : ["", command.details]),
    ...formatSubcommands(command),
    "",
    "Flags:",
    ...formatRows([...command.flags, ...COMMON_FLAGS].map((flag) => [flagSpelling(flag), flag.summary])),
    ...formatExamples(command),
    "",
    `Exit status: ${EXIT_STATUS}`,
    "",
  ].join("\n");
}

function formatExamples({ examples }: Command): string[] {
  return examples.length === 0 ? [] : [
    "",
    "Examples:",
    ...examples.flatMap(([line, purpose]) => {
      return [`  ${line}`, `      ${purpose}`];
    }),
  ];
}

function formatSubcommands({ name, subcommands = [] }: Command): string[] {
  if (subcommands.length === 0) return [];
  const rows = subcommands.map((it): [string, string] => [`${name} ${it.name} ${it.operands}`.trim(), it.summary]);
  return ["", "Subcommands:", ...formatRows(rows), "", `  crpe ${name} SUBCOMMAND --help      its flags`];
}

function flagSpelling({ name, short, value }: Flag): string {
  const long = value === undefined ? `--${name}` : `--${name} ${value}`;
  return short === undefined ? `    ${long}` : `-${short}, ${long}`;
}

function formatRows(rows: readonly (readonly [string, string])[]): string[] {
  const width = Math.max(...rows.map(([left]) => left.length));
  return rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`);
}
