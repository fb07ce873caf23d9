/** Limits of a `BoundedTasks`. */
interface TaskLimits {
  /** Most tasks at once. */
  readonly tasks: number;
  /** Largest sum of the costs of the running tasks. A task that costs more runs alone. */
  readonly cost: number;
}

/** Runs tasks side by side, within limits. After the first failure no further task is started. */
export class BoundedTasks {
  readonly #limits: TaskLimits;
  readonly #running = new Set<Promise<void>>();
  #cost = 0;
  #failure: { readonly error: unknown } | undefined;

  constructor(limits: TaskLimits) {
    this.#limits = limits;
  }

  /** Starts a task as soon as the limits allow it. Waits for that, not for the task. @throws the first error of a task */
  async start(cost: number, task: () => Promise<void>): Promise<void> {
    while (this.#running.size > 0 && !this.#hasRoom(cost)) await Promise.race(this.#running);
    this.#throwFailure();
    this.#cost += cost;
    const running = task().catch((error) => {
      this.#failure ??= { error };
    }).finally(() => {
      this.#cost -= cost;
      this.#running.delete(running);
    });
    this.#running.add(running);
  }

  /** Waits for all tasks. @throws the first error of a task */
  async finish(): Promise<void> {
    await this.settle();
    this.#throwFailure();
  }

  /** Waits for all tasks, also for those that fail. */
  async settle(): Promise<void> {
    await Promise.all(this.#running);
  }

  #hasRoom(cost: number): boolean {
    return this.#running.size < this.#limits.tasks && this.#cost + cost <= this.#limits.cost;
  }

  #throwFailure(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }
}

/**
 * Runs a task for each item, `tasks` at a time. After a failure no further task is started; those that run are awaited.
 *
 * @throws the first error of a task
 */
export async function runBounded<Item>(
  items: Iterable<Item>,
  tasks: number,
  task: (item: Item) => Promise<void>,
): Promise<void> {
  const running = new BoundedTasks({ tasks, cost: Infinity });
  try {
    for (const item of items) await running.start(0, () => task(item));
  } finally {
    await running.settle();
  }
  await running.finish();
}
