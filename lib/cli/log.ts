import type { Io } from "./io.ts";

const FLUSH_MILLISECONDS = 100;
const FLUSH_LENGTH = 16 * 1024;

/** Writes lines to standard error, several at a time: a line each would cost more than a request. */
export class Log {
  readonly #io: Io;
  #pending = "";
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(io: Io) {
    this.#io = io;
  }

  /** Writes a line soon. */
  line(text: string): void {
    this.#pending += `${text}\n`;
    if (this.#pending.length > FLUSH_LENGTH) this.flush();
    else if (this.#timer === undefined) {
      const timer = setTimeout(() => this.flush(), FLUSH_MILLISECONDS);
      Deno.unrefTimer(timer);
      this.#timer = timer;
    }
  }

  /** Writes what is waiting now. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const text = this.#pending;
    this.#pending = "";
    if (text !== "") this.#io.err(text);
  }
}
