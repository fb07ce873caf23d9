import type { SentAnswer } from "../../server/exchange.ts";
import { escapeControls } from "../../oci/escape_controls.ts";
import { toOneLine } from "../console/describe_error.ts";
import type { Io } from "../console/io.ts";

const FLUSH_MILLISECONDS = 100;
const FLUSH_LENGTH = 16 * 1024;

/** The format of log lines: plain text, or one JSON object per line. */
type LogFormat = "text" | "json";

/** The severity of a message. */
type LogLevel = "debug" | "info" | "warning" | "error";

/** The options of a `Log`. */
interface LogOptions {
  readonly format: LogFormat;
  /** Whether messages of level `debug` are written. */
  readonly isVerbose: boolean;
  /** Wall clock, in milliseconds. */
  readonly now?: () => number;
}

/** Writes log lines to standard error, in batches: one write per line would cost more than answering a request. */
export class Log {
  readonly #io: Io;
  readonly #options: LogOptions;
  readonly #now: () => number;
  // Many lines have the same time, and formatting it is a large part of the cost of a line.
  #time = { at: NaN, text: "" };
  #pending = "";
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(io: Io, options: LogOptions) {
    this.#io = io;
    this.#options = options;
    this.#now = options.now ?? Date.now;
  }

  /** Writes a message. */
  write(level: LogLevel, message: string): void {
    if (level === "debug" && !this.#options.isVerbose) return;
    const time = this.#formatTime();
    const line = toOneLine(message);
    this.#add(
      this.#options.format === "json"
        ? JSON.stringify({ time, level, message: line })
        : level === "info"
        ? `${time} ${line}`
        : `${time} ${level}: ${line}`,
    );
  }

  /** Writes the access log line of one response. */
  access({ method, path, status, bytes, isAborted, duration, client, remark }: SentAnswer): void {
    const time = this.#formatTime();
    if (this.#options.format === "json") {
      const entry = {
        method,
        path,
        status,
        bytes,
        aborted: isAborted || undefined,
        duration,
        client,
        cache: remark,
      };
      this.#add(JSON.stringify({ time, level: "info", message: "request", ...entry }));
      return;
    }
    const line = `${time} ${client} ${method} ${path} ${status} ${bytes} ${duration.toFixed(1)}ms${
      remark === undefined ? "" : ` ${remark}`
    }`;
    this.#add(isAborted ? `${line} aborted` : line);
  }

  /** Writes all pending lines. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const text = this.#pending;
    this.#pending = "";
    if (text !== "") this.#io.err(text);
  }

  #formatTime(): string {
    const at = this.#now();
    if (at !== this.#time.at) this.#time = { at, text: new Date(at).toISOString() };
    return this.#time.text;
  }

  #add(line: string): void {
    // Request paths are untrusted input. The escapes are valid in JSON too.
    this.#pending += `${escapeControls(line)}\n`;
    if (this.#pending.length > FLUSH_LENGTH) this.flush();
    else if (this.#timer === undefined) {
      const timer = setTimeout(() => this.flush(), FLUSH_MILLISECONDS);
      Deno.unrefTimer(timer);
      this.#timer = timer;
    }
  }
}
