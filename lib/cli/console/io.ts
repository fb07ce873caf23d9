import { isNoSpace } from "../../files/no_space.ts";
import { cannot, NoSpaceError } from "../../oci/error.ts";

/** The parts of the process and its environment that a command may use. */
export interface Io {
  /** Returns an environment variable; `undefined` when it is unset or empty. */
  env(name: string): string | undefined;
  /** Writes a result to standard output. @throws {NoSpaceError} when its disk is full */
  out(text: string): void;
  /** Writes everything else to standard error, as far as that can be written. */
  err(text: string): void;
  /** Gives up the right to start programs, for the rest of the process. */
  denyPrograms(): Promise<void>;
  /** Standard input. */
  readonly stdin: ReadableStream<Uint8Array>;
  /** Whether standard input is a terminal: nothing is piped into it. */
  readonly isInputTerminal: boolean;
  /** Whether standard output is a terminal. */
  readonly isOutputTerminal: boolean;
  /** Width of the terminal in columns; `undefined` when standard error is not a terminal that can redraw a line. */
  readonly columns: number | undefined;
  /** Whether standard error is a terminal: it shows `^C` where the cursor is. */
  readonly isTerminal: boolean;
  /** Whether standard error is a terminal that shows colours, and the user wants them (https://no-color.org). */
  readonly isColored: boolean;
  /** The same of standard output. */
  readonly isOutputColored: boolean;
}

const encoder = new TextEncoder();

/** Creates the `Io` of the running process. */
export function createProcessIo(): Io {
  return {
    env: (name) => Deno.env.get(name) || undefined,
    out: writeResult,
    err: writeMessage,
    denyPrograms: async () => void await Deno.permissions.revoke({ name: "run" }),
    get stdin() {
      return Deno.stdin.readable;
    },
    get isInputTerminal() {
      return Deno.stdin.isTerminal();
    },
    get isOutputTerminal() {
      return Deno.stdout.isTerminal();
    },
    get columns() {
      return canRedraw() ? consoleColumns() : undefined;
    },
    get isTerminal() {
      return Deno.stderr.isTerminal();
    },
    get isColored() {
      return canRedraw() && !Deno.env.get("NO_COLOR");
    },
    get isOutputColored() {
      return Deno.stdout.isTerminal() && Deno.env.get("TERM") !== "dumb" && !Deno.env.get("NO_COLOR");
    },
  };
}

function canRedraw(): boolean {
  return Deno.stderr.isTerminal() && Deno.env.get("TERM") !== "dumb";
}

function consoleColumns(): number {
  try {
    return Deno.consoleSize().columns || 80;
  } catch {
    return 80;
  }
}

function writeResult(text: string): void {
  try {
    writeAll(Deno.stdout, text);
  } catch (cause) {
    // The reader of the pipe (such as `head`) has closed it: the rest of the output is dropped.
    if (cause instanceof Deno.errors.BrokenPipe) return;
    if (!isNoSpace(cause)) throw cause;
    throw new NoSpaceError(cannot("write standard output", "no space left on the device"), { cause });
  }
}

function writeMessage(text: string): void {
  try {
    writeAll(Deno.stderr, text);
  } catch {
    // Fault 31: a server whose log is on a full disk goes on, and so does what was to be reported in a command.
  }
}

function writeAll(file: { writeSync(bytes: Uint8Array): number }, text: string): void {
  const bytes = encoder.encode(text);
  for (let at = 0; at < bytes.length;) at += file.writeSync(bytes.subarray(at));
}
