import type { Io } from "../console/io.ts";

/** A flag of a command. */
export interface Flag {
  /** The long name, without the dashes. */
  readonly name: string;
  readonly short?: string;
  /** The placeholder for its value in the help; absent for a switch. */
  readonly value?: string;
  /** The values that are possible, where there are few. */
  readonly values?: readonly string[];
  /** Whether the flag may be given several times. */
  readonly isRepeatable?: boolean;
  readonly summary: string;
}

/** The parsed command line of one command. */
export interface Invocation {
  readonly arguments: readonly string[];
  /** Returns the value of a flag that is given at most once. */
  flag(name: string): string | undefined;
  /** Returns all values of a repeatable flag. */
  flags(name: string): readonly string[];
  /** Reports whether a switch was given. */
  isSet(name: string): boolean;
}

/** What the help of the program, or of the parent, says of a command. */
export interface CommandUsage {
  /** One word. `findCommand` puts the parent's name before that of a subcommand: `packages history`. */
  readonly name: string;
  /** The operands as shown in the help: `KUBEPKG`, `IMAGE…`. */
  readonly operands: string;
  readonly summary: string;
}

/** A command that is not loaded yet. */
export interface CommandEntry extends CommandUsage {
  /** Loads the module of the command, and all that it imports. */
  readonly load: () => Promise<Command>;
}

/** An example: a command line, and what it does. */
type Example = readonly [line: string, purpose: string];

/** What the module of a command exports as `COMMAND`. */
export interface CommandDefinition {
  /** The operands that are possible, where there are few. */
  readonly values?: readonly string[];
  /** More help text, in lines of at most 120 characters. */
  readonly details?: string;
  /** The smallest and the largest number of operands, if `operands` does not tell; see `arityOf`. */
  readonly arity?: readonly [least: number, most: number];
  readonly flags: readonly Flag[];
  /** Subcommands, written in place of an operand: `crpe packages history`. */
  readonly subcommands?: readonly Command[];
  /** What stays after ctrl-C, and how to continue, in one line. `undefined` for servers, which end their work first. */
  readonly interrupted: string | undefined;
  /** Whether the command may run kubectl; by default not, and it gives up the right to. */
  readonly usesKubectl?: (invocation: Invocation) => boolean;
  readonly examples: readonly Example[];
  /** Runs the command. @returns the exit status */
  readonly run: (invocation: Invocation, io: Io) => Promise<number>;
}

/** A command or subcommand of crpe. */
export interface Command extends CommandUsage, CommandDefinition {}

/** Returns the smallest and the largest number of operands: `NAME` is one, `[NAME]` may be missing, `NAME…` may be repeated. */
export function arityOf(
  { arity, operands }: Pick<Command, "arity" | "operands">,
): readonly [least: number, most: number] {
  if (arity !== undefined) return arity;
  const most = operands === "" ? 0 : operands.endsWith("…") ? Infinity : 1;
  return [operands.startsWith("[") ? 0 : Math.min(1, most), most];
}

/** The meanings of the exit statuses, for the help. */
export const EXIT_STATUS =
  "0 done, 1 failed, 2 wrong command line, 3 refused by a rule, 4 corrupt input, 130 or 143 interrupted.";

/** The flags of every command. */
export const COMMON_FLAGS: readonly Flag[] = [
  { name: "help", short: "h", summary: "show this help" },
  { name: "quiet", short: "q", summary: "suppress progress and the access log" },
  { name: "debug", summary: "print the stack trace of an error, and log debug messages" },
];
