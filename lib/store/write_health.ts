import { describeOwner } from "../files/describe_owner.ts";
import { isNoSpace } from "../files/no_space.ts";
import { NoSpaceError } from "../oci/error.ts";
import { isNotWritable } from "./data_folder.ts";

/** Knows whether a store accepts content: reads may succeed while writes fail, wholly or in some of its folders. */
export class WriteHealth {
  readonly #warn: (message: string) => void;
  // Problems that were reported since the last successful write.
  readonly #reported = new Set<string>();
  #problem: string | undefined;

  /** @param warn called once for each problem, until a write succeeds again */
  constructor(warn: (message: string) => void) {
    this.#warn = warn;
  }

  /** Why the last write failed; `undefined` after a successful one. */
  get problem(): string | undefined {
    return this.#problem;
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
    this.#problem = undefined;
    this.#reported.clear();
  }

  /** Records a failed write, if the store is the reason. */
  fail(path: string, error: unknown): void {
    if (isNotWritable(error)) this.#report(`${describeOwner(path)} and cannot be written by the user that runs crpe`);
    else if (error instanceof NoSpaceError || isNoSpace(error)) this.#problem = "no space left on the device";
  }

  #report(problem: string): void {
    this.#problem = problem;
    if (this.#reported.has(problem)) return;
    this.#reported.add(problem);
    this.#warn(
      `Cannot keep new content: ${problem}; change the owner (chown -R), and run every crpe of this folder as one user`,
    );
  }
}
