/** A finished system call. Times count the lines of the trace. */
export interface SystemCall {
  readonly name: string;
  readonly began: number;
  readonly ended: number;
  /** The strings among the arguments, in order. */
  readonly strings: readonly Uint8Array<ArrayBuffer>[];
  /** The arguments as strace prints them, each string replaced by `$`. */
  readonly args: readonly string[];
  /** The result; negative for an error. */
  readonly result: number;
}

/** The calls that change files or tell which file is meant. Calls of other names cannot change a file. */
const CALLS = [
  ...["open", "openat", "openat2", "creat", "close", "dup", "dup2", "dup3", "fcntl", "lseek"],
  ...["write", "pwrite64", "writev", "pwritev", "pwritev2", "copy_file_range", "sendfile", "splice", "fallocate"],
  ...["ftruncate", "truncate", "fsync", "fdatasync", "sync", "syncfs", "sync_file_range"],
  ...["rename", "renameat", "renameat2", "link", "linkat", "symlink", "symlinkat", "unlink", "unlinkat"],
  ...["mkdir", "mkdirat", "rmdir", "mknod", "mknodat", "chdir", "sendto", "sendmsg"],
];

/** The words that start a program under strace. Every string is printed whole, in hex. */
export function straceWords(strace: string, output: string): string[] {
  return [strace, "-f", "-qq", "-xx", "-s", String(64 * 1024 * 1024), "-e", "signal=none", "-o", output].concat(
    "-e",
    `trace=${CALLS.map((name) => `?${name}`).join()}`,
  );
}

/** Parses the output of strace, in the order in which the calls ended. */
export function parseTrace(text: string): SystemCall[] {
  const calls: SystemCall[] = [];
  const unfinished = new Map<string, { began: number; text: string }>();
  for (const [line, whole] of text.split("\n").entries()) {
    const [, pid = "", rest = ""] = /^(\d+) +(.*)$/.exec(whole) ?? [];
    const [, start] = /^(.*?),? ?<unfinished \.\.\.>$/.exec(rest) ?? [];
    if (start !== undefined) {
      unfinished.set(pid, { began: line, text: start });
      continue;
    }
    const [, end] = /^<\.\.\. \w+ resumed>,? ?(.*)$/.exec(rest) ?? [];
    const before = end === undefined ? undefined : unfinished.get(pid);
    const separator = before?.text.endsWith("(") || end?.startsWith(")") ? "" : ", ";
    const call = parseCall(before === undefined ? rest : before.text + separator + end);
    if (call !== undefined) calls.push({ ...call, began: before?.began ?? line, ended: line });
  }
  return calls;
}

function parseCall(text: string): Omit<SystemCall, "began" | "ended"> | undefined {
  const strings: Uint8Array<ArrayBuffer>[] = [];
  const short = text.replace(/"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?/g, (_, hex: string, more?: string) => {
    if (more !== undefined) throw new Error("Cannot read the trace: a string is not whole");
    strings.push(Uint8Array.fromHex(hex.replaceAll("\\x", "")));
    return "$";
  });
  const [, name, args = "", result] = /^(\w+)\((.*)\) += (-?\d+|\?)/.exec(short) ?? [];
  if (name === undefined || result === "?") return undefined;
  return { name, strings, args: args.split(", "), result: Number(result) };
}
