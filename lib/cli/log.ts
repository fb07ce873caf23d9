import { toOneLine } from "./describe_error.ts";
import type { Io } from "./io.ts";

const FLUSH_MILLISECONDS = 100;
const FLUSH_LENGTH = 16 * 1024;

/** How lines look: for people, or one JSON object each. */
export type LogFormat = "text" | "json";

/** How grave something is. */
export type LogLevel = "debug" | "info" | "warning" | "error";

/** What a log is made with. */
export interface LogOptions {
  readonly format: LogFormat;
  /** Whether lines of level `debug` are written. */
  readonly isVerbose: boolean;
  readonly now?: () => Date;
}

/** One answer to a client. */
export interface AccessEntry {
  readonly method: string;
  readonly path: string;
  readonly status: number;
  /** Bytes of the body. */
  readonly bytes: number;
  /** Until the head of the answer, in milliseconds. */
  readonly duration: number;
  /** The client's address. */
  readonly client: string;
}

/** Writes lines to standard error, several at a time: a write for each would cost more than a request. */
export class Log {
  readonly #io: Io;
  readonly #options: LogOptions;
  readonly #now: () => Date;
  #pending = "";
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(io: Io, options: LogOptions) {
    this.#io = io;
    this.#options = options;
    this.#now = options.now ?? (() => new Date());
  }

  /** Writes a message. */
  write(level: LogLevel, message: string): void {
    if (level === "debug" && !this.#options.isVerbose) return;
    const line = toOneLine(message);
    this.#add(
      this.#options.format === "json"
        ? JSON.stringify({ time: this.#now().toISOString(), level, message: line })
        : level === "info"
        ? line
        : `${level}: ${line}`,
    );
  }

  /** Writes what a client asked for and got. */
  access(entry: AccessEntry): void {
    const time = this.#now().toISOString();
    if (this.#options.format === "json") {
      this.#add(JSON.stringify({ time, level: "info", message: "request", ...entry }));
      return;
    }
    const { method, path, status, bytes, duration, client } = entry;
    this.#add(`${time} ${client} ${method} ${path} ${status} ${bytes} ${duration.toFixed(1)}ms`);
  }

  /** Writes what is waiting now. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const text = this.#pending;
    this.#pending = "";
    if (text !== "") this.#io.err(text);
  }

  #add(line: string): void {
    this.#pending += `${line}\n`;
    if (this.#pending.length > FLUSH_LENGTH) this.flush();
    else if (this.#timer === undefined) {
      const timer = setTimeout(() => this.flush(), FLUSH_MILLISECONDS);
      Deno.unrefTimer(timer);
      this.#timer = timer;
    }
  }
}
