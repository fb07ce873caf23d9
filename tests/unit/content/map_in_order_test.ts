import { mapInOrder } from "../../../lib/content/map_in_order.ts";
import { assertEquals, assertRejects } from "../../support/assert.ts";

async function* count(to: number, counted: number[] = []) {
  for (let i = 1; i <= to; i++) {
    counted.push(i);
    yield i;
  }
}

Deno.test("mapInOrder() yields results in the order of the items, whichever is ready first", async () => {
  for (const atOnce of [1, 2, 3, 100]) {
    let [running, most] = [0, 0];
    const slowest = async (n: number) => {
      most = Math.max(most, ++running);
      // Those that are started together end in the reverse order.
      await new Promise((resolve) => setTimeout(resolve, 10 - n));
      running--;
      return n * 2;
    };
    assertEquals(await Array.fromAsync(mapInOrder(count(9), atOnce, slowest)), [2, 4, 6, 8, 10, 12, 14, 16, 18]);
    assertEquals(most, Math.min(atOnce, 9));
  }
});

Deno.test("mapInOrder() fails with the first error by the order, starts no more, and awaits what runs", async () => {
  const [counted, ended]: [number[], number[]] = [[], []];
  const results: number[] = [];
  const fail = async (n: number) => {
    if (n === 4) throw new Error("4");
    await new Promise((resolve) => setTimeout(resolve, 0));
    ended.push(n);
    if (n === 3) throw new Error("3");
    return n;
  };
  const run = async () => {
    for await (const result of mapInOrder(count(9, counted), 3, fail)) results.push(result);
  };
  await assertRejects(run, Error, "3");
  assertEquals([results, counted, ended], [[1, 2], [1, 2, 3, 4, 5], [1, 2, 3, 5]]);
});

Deno.test("mapInOrder() that is left early closes the items", async () => {
  let isClosed = false;
  async function* items() {
    try {
      yield* count(9);
    } finally {
      isClosed = true;
    }
  }
  for await (const _ of mapInOrder(items(), 2, (n) => Promise.resolve(n))) break;
  assertEquals(isClosed, true);
});
