import { findCommand, findKnownCommand } from "./command_line/find_command.ts";
import { formatCommandHelp, formatProgramHelp } from "./command_line/help.ts";
import { parseCommandLine } from "./command_line/parse_command_line.ts";
import { COMMANDS } from "./commands.ts";
import { exitStatusOf, printError } from "./console/describe_error.ts";
import { Interruption } from "./console/interruption.ts";
import type { Io } from "./console/io.ts";
import { VERSION } from "./console/version.ts";
import { UsageError } from "../oci/error.ts";

/** Runs one command line, and prints its error. @returns the exit status */
export async function run(args: readonly string[], io: Io): Promise<number> {
  try {
    return await dispatch(args, io);
  } catch (error) {
    printError(error, io, args.includes("--debug"));
    if (error instanceof UsageError) io.err(`See crpe ${await commandNameOf(args)}--help.\n`);
    return exitStatusOf(error);
  }
}

async function dispatch(args: readonly string[], io: Io): Promise<number> {
  const [name, ...rest] = args;
  if (name === "--version" || name === "-V" || name === "-v") {
    io.out(`crpe ${VERSION}\n`);
    return 0;
  }
  if (name === undefined || name === "--help" || name === "-h" || name === "help") {
    const topic = rest[0] === undefined || rest[0].startsWith("-")
      ? undefined
      : (await findCommand(COMMANDS, rest)).command;
    io.out(topic === undefined ? formatProgramHelp(COMMANDS) : formatCommandHelp(topic));
    return name === undefined ? 2 : 0;
  }
  const { command, args: words } = await findCommand(COMMANDS, args);
  // Help comes before all checks, because the rest of the command line may be incomplete.
  const operandsFollow = words.indexOf("--");
  const flags = operandsFollow < 0 ? words : words.slice(0, operandsFollow);
  if (flags.includes("--help") || flags.includes("-h")) {
    io.out(formatCommandHelp(command));
    return 0;
  }
  const invocation = parseCommandLine(command, words);
  // A process that never runs kubectl cannot be made to start any program.
  if (command.usesKubectl?.(invocation) !== true) await io.denyPrograms();
  if (command.interrupted === undefined) return await command.run(invocation, io);
  // The cursor is behind a bar, or behind the ^C.
  const line = `${io.isTerminal ? "\n" : ""}crpe: interrupted; ${command.interrupted}\n`;
  using _interruption = new Interruption(() => io.err(line));
  return await command.run(invocation, io);
}

async function commandNameOf(args: readonly string[]): Promise<string> {
  const command = await findKnownCommand(COMMANDS, args);
  return command === undefined ? "" : `${command.name} `;
}
