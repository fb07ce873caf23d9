import type { SentAnswer } from "../../server/exchange.ts";
import { escapeControls, toOneLine } from "../console/describe_error.ts";
import type { Io } from "../console/io.ts";

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
    const time = this.#now().toISOString();
    const line = toOneLine(message);
    this.#add(
      this.#options.format === "json"
        ? JSON.stringify({ time, level, message: line })
        : level === "info"
        ? `${time} ${line}`
        : `${time} ${level}: ${line}`,
    );
  }

  /** Writes what a client asked for and got. */
  access({ method, path, status, bytes, isAborted, duration, client }: SentAnswer): void {
    const time = this.#now().toISOString();
    if (this.#options.format === "json") {
      const entry = { method, path, status, bytes, ...(isAborted ? { aborted: true } : {}), duration, client };
      this.#add(JSON.stringify({ time, level: "info", message: "request", ...entry }));
      return;
    }
    const line = `${time} ${client} ${method} ${path} ${status} ${bytes} ${duration.toFixed(1)}ms`;
    this.#add(isAborted ? `${line} aborted` : line);
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
    // Clients choose their paths. The escapes are right in JSON, too.
    this.#pending += `${escapeControls(line)}\n`;
    if (this.#pending.length > FLUSH_LENGTH) this.flush();
    else if (this.#timer === undefined) {
      const timer = setTimeout(() => this.flush(), FLUSH_MILLISECONDS);
      Deno.unrefTimer(timer);
      this.#timer = timer;
    }
  }
}
