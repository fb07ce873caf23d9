// The exit status that a shell reports for a program ended by a signal: 128 plus the signal's number.
const STATUS = { SIGINT: 130, SIGTERM: 143 } as const;

const unfinished = new Set<string>();

/** Until it is disposed of, a file is removed when a signal ends the process: one that no other process can resume. */
export class UnfinishedFile implements Disposable {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
    unfinished.add(path);
  }

  [Symbol.dispose](): void {
    unfinished.delete(this.#path);
  }
}

/** Until it is disposed of, SIGINT and SIGTERM call a function and then end the process. */
export class Interruption implements Disposable {
  #listeners: (() => void)[] = [];

  constructor(onSignal: () => void) {
    for (const signal of ["SIGINT", "SIGTERM"] as const) {
      const listener = () => {
        try {
          removeUnfinished();
          onSignal();
        } finally {
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

function removeUnfinished(): void {
  for (const path of unfinished) {
    try {
      Deno.removeSync(path);
    } catch {
      // It was not begun, or is complete.
    }
  }
}
