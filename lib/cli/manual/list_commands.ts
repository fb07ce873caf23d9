import { type Command, COMMON_FLAGS, type Flag } from "../command_line/command.ts";

/** A command with its full name. */
export interface NamedCommand {
  /** `packages history` */
  readonly name: string;
  readonly command: Command;
}

/** Lists commands, each followed by its subcommands. */
export function listCommands(commands: readonly Command[], parent = ""): NamedCommand[] {
  return commands.flatMap((command) => {
    const name = `${parent}${command.name}`;
    return [{ name, command }, ...listCommands(command.subcommands ?? [], `${name} `)];
  });
}

/** All flags of a command, in the order of its help. */
export function listFlags(command: Command): readonly Flag[] {
  return [...command.flags, ...COMMON_FLAGS];
}

/** What a value can be completed with: a file, a folder, one of some words, or nothing. */
export type ValueKind = "file" | "folder" | "none" | readonly string[];

/** Tells from the placeholder of a value (`FILE`, `DIR`, `IMAGE…`) what it can be completed with. */
export function kindOfValue(placeholder: string, values?: readonly string[]): ValueKind {
  if (values !== undefined) return values;
  if (/(?:^|\|)(?:\[?KUBEPKG|\[?PKG\.tgz|FILE|PATH)/.test(placeholder)) return "file";
  return /^DIR/.test(placeholder) ? "folder" : "none";
}
