const MAX_MILLISECONDS = 8;

/** Lets other work run now and then during a long scan, whose steps are synchronous. */
export class Turns {
  #ended = performance.now();

  /** Called between two steps. When 8 ms have passed since it last waited, it waits until other work has run. */
  async next(): Promise<void> {
    // Not after each few steps: a timer takes at least a millisecond, which is as long as 200 of the shortest steps.
    if (performance.now() - this.#ended < MAX_MILLISECONDS) return;
    await new Promise((resolve) => setTimeout(resolve, 0));
    this.#ended = performance.now();
  }
}
