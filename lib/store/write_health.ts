import { describeOwner } from "../files/describe_owner.ts";
import { isNoSpace } from "../files/no_space.ts";
import { NoSpaceError } from "../oci/error.ts";
import { isNotWritable } from "../files/not_writable.ts";

/** Options of a `WriteHealth`. */
interface WriteHealthOptions {
  /** Called once for each owner of folders that cannot be written. */
  readonly warn: (message: string) => void;
  /** Monotonic clock, in milliseconds. */
  readonly now?: () => number;
}

interface Problem {
  readonly text: string;
  readonly at: number;
}

// A problem counts as solved this long after the last write that failed, in milliseconds. Other folders of the store may
// be writable, so a successful write says nothing.
const PROBLEM_MILLISECONDS = 10 * 60 * 1000;
const MAX_PROBLEMS = 100;
const NO_SPACE = "no space left on the device";

/** Knows whether a store accepts content: reads may succeed while writes fail, in all or in some of its folders. */
export class WriteHealth {
  readonly #warn: (message: string) => void;
  readonly #now: () => number;
  readonly #problems = new Map<string, Problem>();

  constructor({ warn, now = () => performance.now() }: WriteHealthOptions) {
    this.#warn = warn;
    this.#now = now;
  }

  /** Why a write failed lately; `undefined` when writes succeed. */
  get problem(): string | undefined {
    for (const [key, { text, at }] of this.#problems) {
      if (this.#now() < at + PROBLEM_MILLISECONDS) return text;
      this.#problems.delete(key);
    }
    return undefined;
  }

  /** Runs a write and records its outcome. @param path what is written */
  async run<T>(path: string, write: () => Promise<T>): Promise<T> {
    try {
      const result = await write();
      this.succeed();
      return result;
    } catch (error) {
      this.fail(path, error);
      throw error;
    }
  }

  /** Records a successful write. */
  succeed(): void {
    this.#problems.delete(NO_SPACE);
  }

  /** Records a failed write, if the store is the reason. */
  fail(path: string, error: unknown): void {
    if (error instanceof NoSpaceError || isNoSpace(error)) {
      this.#problems.set(NO_SPACE, { text: NO_SPACE, at: this.#now() });
    } else if (isNotWritable(error)) {
      const { owner, text } = describeOwner(path);
      const isNew = !this.#problems.has(owner);
      if (this.#problems.size >= MAX_PROBLEMS) this.#problems.clear();
      this.#problems.set(owner, { text: `${text} and is not writable for crpe`, at: this.#now() });
      if (!isNew) return;
      this.#warn(
        `Cannot keep new content: ${text} and is not writable for the user that runs crpe; ` +
          "change the owner of the data folder (chown -R), and run every crpe that uses it as one user",
      );
    }
  }
}
