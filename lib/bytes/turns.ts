import { pause } from "./pause.ts";

const MAX_MILLISECONDS = 16;

/** Lets other work run now and then during a long scan, whose steps are synchronous. */
export class Turns {
  #ended = performance.now();

  /** Called between two steps. When 16 ms have passed since it last waited, it waits until other work has run. */
  async next(): Promise<void> {
    // Not after each few steps: a timer takes 1.2 ms, which is as long as 200 of the shortest steps. `setImmediate` takes
    // none of it, but the runtime then looks for new data of connections only in one of 61 turns.
    if (performance.now() - this.#ended < MAX_MILLISECONDS) return;
    await pause(0);
    this.#ended = performance.now();
  }
}
