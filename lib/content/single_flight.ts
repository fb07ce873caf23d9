/** Runs a task once for all concurrent callers that use the same key. */
export class SingleFlight<T> {
  readonly #running = new Map<string, Promise<T>>();

  /** Returns the result of the task in progress under `key`; starts `task` if there is none. */
  run(key: string, task: () => Promise<T>): Promise<T> {
    const running = this.#running.get(key);
    if (running !== undefined) return running;
    const started = task().finally(() => this.#running.delete(key));
    this.#running.set(key, started);
    return started;
  }
}
