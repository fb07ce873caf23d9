// What a shell says of a program that a signal has ended: 128 and the signal's number.
const STATUS = { SIGINT: 130, SIGTERM: 143 } as const;

/** Cleans up when somebody ends the process while something is unfinished. */
export class Interruption implements Disposable {
  readonly #onExit: () => void;
  #listeners: (() => void)[] = [];

  /** @param onExit called last, before the process ends */
  constructor(onExit: () => void) {
    this.#onExit = onExit;
  }

  /** From now on until it is disposed of, SIGINT and SIGTERM call `cleanUp` and end the process. */
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
