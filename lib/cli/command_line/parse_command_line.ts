// @ts-types="../../std/parse_args.d.ts"
import { parseArgs } from "@std/cli/parse-args";
// @ts-types="../../std/closest_string.d.ts"
import { closestString } from "@std/text/closest-string";
// @ts-types="../../std/levenshtein_distance.d.ts"
import { levenshteinDistance } from "@std/text/levenshtein-distance";
import { arityOf, type Command, COMMON_FLAGS, type Flag, type Invocation } from "./command.ts";
import { cannot, UsageError } from "../../oci/error.ts";

/** The placeholders of values and operands that are paths, and nothing else. */
const PATH_ONLY = /^\[?(?:HOST=)?(?:FILE|DIR|FILE\|DIR|PATH|PKG\.tgz)…?\]?$/;
/** A URL, also behind the `HOST=` of a value. */
const URL_VALUE = /^(?:[^=/]*=)?([a-z][a-z0-9+.-]*:\/\/.*)$/is;

/**
 * Parses the words after a command's name.
 *
 * @throws {UsageError} when a flag is unknown (it suggests the nearest one), a value is missing, or the number of
 * operands is wrong
 */
export function parseCommandLine(command: Command, args: readonly string[]): Invocation {
  const known = [...command.flags, ...COMMON_FLAGS];
  const takesValue = known.filter((flag) => flag.value !== undefined);
  for (const argument of args) checkSwitch(argument, known);
  const parsed = parseArgs(joinDashes(splitShortFlags(args, takesValue), takesValue), {
    string: ["_", ...takesValue.map((flag) => flag.name)],
    boolean: known.filter((flag) => flag.value === undefined).map((flag) => flag.name),
    collect: takesValue.map((flag) => flag.name),
    alias: Object.fromEntries(known.flatMap((flag) => flag.short ? [[flag.short, flag.name]] : [])),
    unknown: (argument, key) => {
      if (key === undefined) return true;
      throw new UsageError(cannot(`use ${flagText(argument)}`, nearestFlag(key, known)));
    },
  });
  const values = new Map<string, readonly string[]>();
  for (const { name, isRepeatable, short, value } of takesValue) {
    const given = (parsed[name] as unknown[] | undefined ?? []).map(String);
    const shown = args.some((arg) => arg.startsWith(`--${name}`)) || short === undefined ? `--${name}` : `-${short}`;
    if (given.includes("")) throw new UsageError(cannot(`use ${shown}`, "it needs a value"));
    if (given.length > 1 && !isRepeatable) throw new UsageError(cannot(`use ${shown}`, "it is given more than once"));
    if (PATH_ONLY.test(value ?? "")) given.forEach((it) => refuseUrl(it, shown));
    values.set(name, given);
  }
  const operands = parsed._.map(String);
  checkArity(command, operands);
  if (PATH_ONLY.test(command.operands)) operands.forEach((it) => refuseUrl(it));
  return {
    arguments: operands,
    flag: (name) => values.get(name)?.[0],
    flags: (name) => values.get(name) ?? [],
    isSet: (name) => parsed[name] === true,
  };
}

// A switch has no value: `--json=no` would turn it on.
function checkSwitch(argument: string, known: readonly Flag[]): void {
  const [, name] = /^--([^=]+)=/.exec(argument) ?? [];
  const flag = known.find((flag) => flag.name === name);
  if (flag !== undefined && flag.value === undefined) {
    throw new UsageError(cannot(`use --${name} with a value`, "it is a switch", "omit it to turn it off"));
  }
}

/**
 * Refuses a URL in the place of a path: a write would create the folder `http:`.
 *
 * @param what the name of the flag, variable or field; absent for an operand
 * @throws {UsageError}
 */
export function refuseUrl(text: string, what?: string): void {
  const [, url] = URL_VALUE.exec(text) ?? [];
  if (url === undefined) return;
  const place = what === undefined ? "" : `${what} `;
  throw new UsageError(
    cannot(`use ${place}${JSON.stringify(url)}`, "it is a URL", "write the path of a file or folder"),
  );
}

/** Splits `-oFILE` into `-o FILE`. */
function splitShortFlags(args: readonly string[], takesValue: readonly Flag[]): string[] {
  return args.flatMap((argument) => {
    const flag = takesValue.find(({ short }) => short !== undefined && argument.startsWith(`-${short}`));
    return flag === undefined || argument.length === 2 ? [argument] : [argument.slice(0, 2), argument.slice(2)];
  });
}

// parseArgs() takes what begins with `-` for another flag. After a long flag, `-` is its value, and means a standard stream;
// and so is a negative number, which the parser of the value refuses.
function joinDashes(args: readonly string[], takesValue: readonly Flag[]): string[] {
  const names = new Set(takesValue.map(({ name }) => `--${name}`));
  const joined: string[] = [];
  for (const argument of args) {
    const before = joined.at(-1);
    if (/^-(?:\d.*)?$/.test(argument) && before !== undefined && names.has(before)) {
      joined[joined.length - 1] = `${before}=${argument}`;
    } else joined.push(argument);
  }
  return joined;
}

/** Formats a suggestion for a word: `; did you mean "pack"?`. Empty when none of the words is near. */
export function didYouMean(word: string, words: readonly string[]): string {
  const nearest = findNearest(word, words);
  return nearest === undefined ? "" : `; did you mean ${JSON.stringify(nearest)}?`;
}

/**
 * Returns the word that is probably meant, if any.
 *
 * A word is near if at most half of the longer one differs, and one letter where the first one is another; or if one begins
 * with the other.
 */
export function findNearest(word: string, words: readonly string[]): string | undefined {
  const begun = words.filter((it) => word.length > 1 && (it.startsWith(word) || word.startsWith(it)));
  if (words.length === 0) return undefined;
  const nearest = closestString(word, begun.length > 0 ? begun : words);
  const distance = levenshteinDistance(word, nearest);
  const isNear = distance * 2 <= Math.max(word.length, nearest.length) &&
    (distance <= 1 || word[0] === nearest[0]);
  return isNear || begun.length > 0 ? nearest : undefined;
}

// What users of other registries type for the same thing.
const KNOWN_ELSEWHERE: ReadonlyMap<string, string> = new Map([["bind", "addr"], ["listen", "addr"], ["port", "addr"]]);

/** Says that a flag does not exist, with the nearest one. */
export function nearestFlag(key: string, known: readonly Flag[]): string {
  const names = known.map(({ name }) => name);
  const meant = KNOWN_ELSEWHERE.get(key);
  const nearest = meant !== undefined && names.includes(meant) ? meant : findNearest(key, names);
  return `there is no such flag${nearest === undefined ? "" : `; did you mean --${nearest}?`}`;
}

/** Returns a flag without its value. */
export function flagText(argument: string): string {
  return argument.split("=", 1)[0] ?? argument;
}

function checkArity(command: Command, operands: readonly string[]): void {
  const [least, most] = arityOf(command);
  if (operands.length < least) {
    throw new UsageError(cannot(`run ${command.name}`, `${command.operands} is missing`));
  }
  if (operands.length > most) {
    throw new UsageError(cannot(`run ${command.name}`, `unexpected operand ${JSON.stringify(operands[most])}`));
  }
}
