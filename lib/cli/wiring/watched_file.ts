import { ifPresentSync } from "../../files/if_present.ts";

/** Options of a `WatchedFile`. */
interface WatchedFileOptions<T> {
  /** Parses the content of the file; its error is a problem of the file. */
  readonly parse: (bytes: Uint8Array) => T;
  /** Called once for each content that cannot be used, and when the file cannot be read. */
  readonly onProblem: (error: Error) => void;
  /** Whether the last content stays in use when the file is missing. */
  readonly isKept?: boolean;
  /** Monotonic clock, in milliseconds. */
  readonly now?: (() => number) | undefined;
}

// How often the file is checked at most, in milliseconds.
const CHECK_INTERVAL = 1000;

/**
 * A small file that other programs replace while crpe runs, such as a file with a password. It is checked when it is
 * used, at most once a second, and read again when it has changed. Content that cannot be used, such as a file that is
 * just being written, leaves the previous content in use.
 */
export class WatchedFile<T> {
  readonly #path: string;
  readonly #options: WatchedFileOptions<T>;
  readonly #now: () => number;
  #value: T | undefined;
  #state: string | undefined;
  #checkedAt = -Infinity;

  constructor(path: string, options: WatchedFileOptions<T>) {
    this.#path = path;
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
  }

  /** The content; `undefined` when there is no such file, or none of its contents could be used. */
  get value(): T | undefined {
    const now = this.#now();
    if (now - this.#checkedAt >= CHECK_INTERVAL) {
      this.#checkedAt = now;
      this.#check();
    }
    return this.#value;
  }

  #check(): void {
    const { parse, onProblem, isKept = false } = this.#options;
    let state: string | undefined;
    try {
      state = this.#readState();
      if (state === this.#state) return;
      if (state !== undefined) this.#value = parse(Deno.readFileSync(this.#path));
      else if (!isKept) this.#value = undefined;
    } catch (error) {
      // The same problem is reported once.
      state ??= (error as Error).message;
      if (state !== this.#state) onProblem(error as Error);
    }
    this.#state = state;
  }

  /** Identifies the content of the file without reading it; `undefined` when there is no such file. */
  #readState(): string | undefined {
    const file = ifPresentSync(() => Deno.statSync(this.#path));
    return file && [file.mtime?.getTime(), file.size, file.ino, file.dev].join(" ");
  }
}
