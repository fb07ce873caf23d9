import { UsageError } from "../console/usage_error.ts";
import type { Command } from "./command.ts";
import { didYouMean } from "./parse_command_line.ts";

/** A command, and the words of the command line that are for it. */
export interface FoundCommand {
  /** A subcommand has its command's name before its own. */
  readonly command: Command;
  readonly args: readonly string[];
}

/**
 * Finds the command that a command line names, and its subcommand.
 *
 * @throws {UsageError} for a word that is neither, naming the nearest
 */
export function findCommand(commands: readonly Command[], args: readonly string[]): FoundCommand {
  const [name = "", ...rest] = args;
  const command = commands.find((command) => command.name === name);
  if (command === undefined) {
    if (name.startsWith("-")) throw new UsageError(`Cannot use ${name}: a command has to come first`);
    throw unknownError(name, "command", commands);
  }
  return findSubcommand({ command, args: rest });
}

/** The longest beginning of a command line that names a command: `packages` of `packages histroy`. */
export function findKnownCommand(commands: readonly Command[], args: readonly string[]): Command | undefined {
  const command = commands.find(({ name }) => name === args[0]);
  if (command === undefined) return undefined;
  try {
    return findSubcommand({ command, args: args.slice(1) }).command;
  } catch {
    return command;
  }
}

function findSubcommand(found: FoundCommand): FoundCommand {
  const { command, args } = found;
  if (command.subcommands === undefined) return found;
  const at = args.findIndex((word, i) => !word.startsWith("-") && !isValue(command, args[i - 1]));
  const word = args[at];
  if (word === undefined || args.slice(0, at).includes("--")) return found;
  const subcommand = command.subcommands.find(({ name }) => name === word);
  if (subcommand === undefined) throw unknownError(word, `subcommand of ${command.name}`, command.subcommands);
  const named = { ...subcommand, name: `${command.name} ${word}` };
  return findSubcommand({ command: named, args: args.toSpliced(at, 1) });
}

// Whether what follows a word is its value: `--data DIR`.
function isValue({ flags }: Command, before: string | undefined): boolean {
  return flags.some(({ name, short, value }) => {
    return value !== undefined && (before === `--${name}` || short !== undefined && before === `-${short}`);
  });
}

function unknownError(word: string, what: string, commands: readonly Command[]): UsageError {
  const nearest = didYouMean(word, commands.map(({ name }) => name));
  return new UsageError(`Cannot run ${JSON.stringify(word)}: there is no such ${what}; ${nearest}`);
}
