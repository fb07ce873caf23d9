/** Runs a task once for all that ask for it while it runs. */
export class SingleFlight<T> {
  readonly #running = new Map<string, Promise<T>>();

  /** The result of the task that runs under `key`; `task` is started if none does. */
  run(key: string, task: () => Promise<T>): Promise<T> {
    const running = this.#running.get(key);
    if (running !== undefined) return running;
    const started = task().finally(() => this.#running.delete(key));
    this.#running.set(key, started);
    return started;
  }
}
