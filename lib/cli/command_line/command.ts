import type { Io } from "../console/io.ts";

/** A flag of a command. */
export interface Flag {
  /** Its long name, without the dashes. */
  readonly name: string;
  readonly short?: string;
  /** What its value is called in the help; absent for a switch. */
  readonly value?: string;
  /** It may be given several times. */
  readonly isRepeatable?: boolean;
  readonly summary: string;
}

/** What the command line gave a command. */
export interface Invocation {
  readonly arguments: readonly string[];
  /** The value of a flag that is given at most once. */
  flag(name: string): string | undefined;
  /** All values of a repeatable flag. */
  flags(name: string): readonly string[];
  /** Whether a switch was given. */
  isSet(name: string): boolean;
}

/** What crpe is told to do. */
export interface Command {
  /** One word; of a subcommand that was found on a command line its command's before it: `packages history`. */
  readonly name: string;
  /** What follows the name in the help: `KUBEPKG`, `IMAGE…`. */
  readonly operands: string;
  readonly summary: string;
  /** More of the help; lines of at most 100 characters. */
  readonly details?: string;
  /** Smallest and largest number of operands. */
  readonly arity: readonly [least: number, most: number];
  readonly flags: readonly Flag[];
  /** What may follow the name in the place of an operand: `crpe packages history`. */
  readonly subcommands?: readonly Command[];
  /** Loads what only this command needs. @returns the exit status */
  readonly run: (invocation: Invocation, io: Io) => Promise<number>;
}

/** Flags that every command has. */
export const COMMON_FLAGS: readonly Flag[] = [
  { name: "help", short: "h", summary: "show this help" },
  { name: "quiet", short: "q", summary: "no progress" },
  { name: "debug", summary: "show where in the program an error came from" },
];
