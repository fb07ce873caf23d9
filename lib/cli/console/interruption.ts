// The exit status that a shell reports for a program ended by a signal: 128 plus the signal's number.
const STATUS = { SIGINT: 130, SIGTERM: 143 } as const;

/** Runs a clean-up when SIGINT or SIGTERM ends the process in the middle of a task. */
export class Interruption implements Disposable {
  readonly #onExit: () => void;
  #listeners: (() => void)[] = [];

  /** @param onExit called after the clean-up, right before the process ends */
  constructor(onExit: () => void) {
    this.#onExit = onExit;
  }

  /** Until this object is disposed of, SIGINT and SIGTERM call `cleanUp` and then end the process. */
  watch(cleanUp: () => void): void {
    for (const signal of ["SIGINT", "SIGTERM"] as const) {
      const listener = () => {
        try {
          cleanUp();
        } finally {
          this.#onExit();
          Deno.exit(STATUS[signal]);
        }
      };
      Deno.addSignalListener(signal, listener);
      this.#listeners.push(() => Deno.removeSignalListener(signal, listener));
    }
  }

  [Symbol.dispose](): void {
    for (const remove of this.#listeners) remove();
    this.#listeners = [];
  }
}
