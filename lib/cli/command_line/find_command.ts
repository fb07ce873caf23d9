import { type Command, type CommandEntry, type CommandUsage, COMMON_FLAGS } from "./command.ts";
import { didYouMean, flagText, nearestFlag } from "./parse_command_line.ts";
import { cannot, UsageError } from "../../oci/error.ts";

/** A command, and its part of the command line. */
interface FoundCommand {
  /** The name of a subcommand is preceded by that of its parent. */
  readonly command: Command;
  readonly args: readonly string[];
}

// What users of docker, skopeo, helm and kubectl type for the same thing.
const KNOWN_ELSEWHERE: ReadonlyMap<string, string> = new Map([
  ["build", "crpe pack"],
  ["delete", "crpe images rm, or crpe packages remove"],
  ["install", "crpe import"],
  ["login", "docker login or podman login: crpe reads their files"],
  ["ls", "crpe images, or crpe packages"],
  ["list", "crpe images, or crpe packages"],
  ["prune", "crpe gc"],
  ["remove", "crpe images rm, or crpe packages remove"],
  ["rm", "crpe images rm, or crpe packages remove"],
  ["rmi", "crpe images rm"],
  ["rollback", "crpe packages rollback"],
  ["serve", "crpe registry"],
  ["sync", "crpe copy"],
  ["uninstall", "crpe packages remove"],
]);

// What is used without a command.
const ALONE = COMMON_FLAGS.filter(({ name }) => name === "help").concat({ name: "version", summary: "" });

/**
 * Finds the command, or the subcommand, that a command line names.
 *
 * @throws {UsageError} when there is no such command or subcommand; it suggests the nearest name
 */
export async function findCommand(
  commands: readonly CommandEntry[],
  args: readonly string[],
): Promise<FoundCommand> {
  const [name = "", ...rest] = args;
  const entry = commands.find((command) => command.name === name);
  if (entry === undefined) {
    if (name.startsWith("-")) {
      const problem = nearestFlag(flagText(name).replace(/^-+/, ""), ALONE);
      const isNear = problem.includes("did you mean") && !ALONE.some((flag) => `--${flag.name}` === name);
      throw new UsageError(cannot(`use ${name}`, isNear ? problem : "the command must come first"));
    }
    throw unknownError(name, "command", commands);
  }
  return findSubcommand({ command: await entry.load(), args: rest });
}

/** Finds the command of the longest known prefix of a command line: `packages` for `packages histroy`. */
export async function findKnownCommand(
  commands: readonly CommandEntry[],
  args: readonly string[],
): Promise<Command | undefined> {
  const command = await commands.find(({ name }) => name === args[0])?.load();
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
  // The word may be the value of a flag that does not exist.
  const flag = args.slice(0, at).find((it) => it.startsWith("-") && !isFlag(command, it));
  if (subcommand === undefined && flag !== undefined) {
    throw new UsageError(
      cannot(
        `use ${flagText(flag)}`,
        nearestFlag(flagText(flag).replace(/^-+/, ""), [...command.flags, ...COMMON_FLAGS]),
      ),
    );
  }
  if (subcommand === undefined) throw unknownError(word, `subcommand of ${command.name}`, command.subcommands);
  const named = { ...subcommand, name: `${command.name} ${word}` };
  return findSubcommand({ command: named, args: args.toSpliced(at, 1) });
}

function isFlag({ flags }: Command, word: string): boolean {
  return [...flags, ...COMMON_FLAGS].some(({ name, short }) =>
    flagText(word) === `--${name}` || short !== undefined && word.startsWith(`-${short}`)
  );
}

// Reports whether the word after `before` is the value of a flag: `--data DIR`.
function isValue({ flags }: Command, before: string | undefined): boolean {
  return flags.some(({ name, short, value }) => {
    return value !== undefined && (before === `--${name}` || short !== undefined && before === `-${short}`);
  });
}

function unknownError(word: string, what: string, commands: readonly CommandUsage[]): UsageError {
  const known = KNOWN_ELSEWHERE.get(word);
  const advice = known === undefined ? didYouMean(word, commands.map(({ name }) => name)) : `; use ${known}`;
  return new UsageError(cannot(`run ${JSON.stringify(word)}`, `there is no such ${what}${advice}`));
}
