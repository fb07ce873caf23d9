// @ts-types="../std/parse_args.d.ts"
import { parseArgs } from "@std/cli/parse-args";
// @ts-types="../std/closest_string.d.ts"
import { closestString } from "@std/text/closest-string";
import { type Command, COMMON_FLAGS, type Flag, type Invocation, UsageError } from "./command.ts";

/**
 * Reads the words behind a command's name.
 *
 * @throws {UsageError} for an unknown flag (naming the nearest one), a missing value, or a wrong number of operands
 */
export function parseCommandLine(command: Command, args: readonly string[]): Invocation {
  const known = [...command.flags, ...COMMON_FLAGS];
  const takesValue = known.filter((flag) => flag.value !== undefined);
  const parsed = parseArgs([...args], {
    string: ["_", ...takesValue.map((flag) => flag.name)],
    boolean: known.filter((flag) => flag.value === undefined).map((flag) => flag.name),
    collect: takesValue.map((flag) => flag.name),
    alias: Object.fromEntries(known.flatMap((flag) => flag.short ? [[flag.short, flag.name]] : [])),
    unknown: (argument, key) => {
      if (key === undefined) return true;
      throw new UsageError(`Cannot use ${flagText(argument)}: ${nearestFlag(key, known)}`);
    },
  });
  const values = new Map<string, readonly string[]>();
  for (const { name, isRepeatable, short } of takesValue) {
    const given = (parsed[name] as unknown[] | undefined ?? []).map(String);
    const shown = args.some((arg) => arg.startsWith(`--${name}`)) || short === undefined ? `--${name}` : `-${short}`;
    if (given.includes("")) throw new UsageError(`Cannot use ${shown}: it needs a value`);
    if (given.length > 1 && !isRepeatable) throw new UsageError(`Cannot use ${shown}: it is given more than once`);
    values.set(name, given);
  }
  const operands = parsed._.map(String);
  checkArity(command, operands);
  return {
    arguments: operands,
    flag: (name) => values.get(name)?.[0],
    flags: (name) => values.get(name) ?? [],
    isSet: (name) => parsed[name] === true,
  };
}

/** `did you mean "pack"?`, for a word that is none of `words`. */
export function didYouMean(word: string, words: readonly string[]): string {
  return `did you mean ${JSON.stringify(closestString(word, words))}?`;
}

function nearestFlag(key: string, known: readonly Flag[]): string {
  return `there is no such flag; did you mean --${closestString(key, known.map(({ name }) => name))}?`;
}

function flagText(argument: string): string {
  return argument.split("=", 1)[0] ?? argument;
}

function checkArity(command: Command, operands: readonly string[]): void {
  const [least, most] = command.arity;
  if (operands.length < least) {
    throw new UsageError(`Cannot run ${command.name}: ${command.operands} is missing`);
  }
  if (operands.length > most) {
    throw new UsageError(`Cannot run ${command.name}: ${JSON.stringify(operands[most])} is one operand too many`);
  }
}
