import { BoundedTasks } from "../../../lib/content/bounded_tasks.ts";
import { assertEquals, assertRejects } from "../../support/assert.ts";

/** [what, the limits, the costs of the tasks, how many run at once] */
const rows: [string, { tasks: number; cost: number }, number[], number][] = [
  ["their number", { tasks: 3, cost: 100 }, [1, 1, 1, 1, 1, 1], 3],
  ["the sum of their costs", { tasks: 10, cost: 5 }, [2, 2, 2, 2, 2], 2],
  ["one task that costs more than the limit", { tasks: 10, cost: 5 }, [9, 9], 1],
  ["a single task", { tasks: 1, cost: 5 }, [1, 1, 1], 1],
];
for (const [what, limits, costs, expected] of rows) {
  Deno.test(`BoundedTasks limits ${what}`, async () => {
    const tasks = new BoundedTasks(limits);
    let [running, most, done] = [0, 0, 0];
    for (const cost of costs) {
      await tasks.start(cost, async () => {
        most = Math.max(most, ++running);
        await new Promise((resolve) => setTimeout(resolve));
        running--;
        done++;
      });
    }
    await tasks.finish();
    assertEquals({ most, done }, { most: expected, done: costs.length });
  });
}

Deno.test("BoundedTasks starts nothing after a failure, and waits for what runs", async () => {
  const tasks = new BoundedTasks({ tasks: 2, cost: 2 });
  const slow = Promise.withResolvers<void>();
  const started: string[] = [];
  await tasks.start(1, () => (started.push("slow"), slow.promise));
  await tasks.start(1, () => (started.push("failing"), Promise.reject(new Error("the disk is full"))));
  await assertRejects(
    () => tasks.start(1, () => Promise.resolve(void started.push("late"))),
    Error,
    "the disk is full",
  );
  let isSettled = false;
  const settled = tasks.settle().then(() => isSettled = true);
  await Promise.resolve();
  assertEquals(isSettled, false);
  slow.resolve();
  await settled;
  await assertRejects(() => tasks.finish(), Error, "the disk is full");
  assertEquals(started, ["slow", "failing"]);
});
