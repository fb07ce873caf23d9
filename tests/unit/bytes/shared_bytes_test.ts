import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { SharedResults } from "../../../lib/bytes/shared_bytes.ts";
import { assertEquals, assertLess } from "../../support/assert.ts";

const CALLS = 20;

for (
  const [what, fails] of [
    ["callers that arrive when one has ended share the next one", false],
    ["callers that arrive when one has failed share the next one", true],
  ] as [string, boolean][]
) {
  Deno.test(`[88] SharedResults computes a result once at a time: ${what}`, async () => {
    const shared = new SharedResults();
    const first = Promise.withResolvers<void>();
    const rest = Promise.withResolvers<void>();
    const counts = { running: 0, most: 0, runs: 0 };
    const compute = async () => {
      const isFirst = counts.runs++ === 0;
      counts.most = Math.max(counts.most, ++counts.running);
      await (isFirst ? first : rest).promise;
      counts.running--;
      if (isFirst && fails) throw new Error("failed");
      return { body: new Uint8Array(1) };
    };
    const answers = [shared.get("a", compute).catch(() => undefined), shared.get("a", compute)];
    first.resolve();
    // They arrive in the moments in which the first one ends and the second one starts.
    for (let i = 0; i < CALLS; i++) {
      await undefined;
      answers.push(shared.get("a", compute));
    }
    assertEquals(counts, { running: 1, most: 1, runs: 2 });
    rest.resolve();
    await Promise.all(answers);
    assertEquals(counts, { running: 0, most: 1, runs: 3 });
  });
}

const LONG = "a".repeat(60_000);

/** Returns the bytes of the heap that are in use after a garbage collection. */
function countHeap(): number {
  setFlagsFromString("--expose-gc");
  runInNewContext("gc")();
  return Deno.memoryUsage().heapUsed;
}

Deno.test("[88] SharedResults keeps no long keys, which clients choose", async () => {
  const results = new SharedResults();
  const before = countHeap();
  for (let i = 0; i < 500; i++) await results.get(`${i}${LONG}`, () => Promise.resolve({ body: new Uint8Array() }));
  assertLess(countHeap() - before, 100 * LONG.length);
});

Deno.test("SharedResults shares the results of equal long keys, and of no others", async () => {
  const results = new SharedResults();
  const computed: string[] = [];
  const get = (key: string) =>
    results.get(key, () => {
      computed.push(key);
      return Promise.resolve({ body: new TextEncoder().encode(key) });
    });
  const [a, , c, other] = await Promise.all([`${LONG}a`, `${LONG}a`, `${LONG}a`, `${LONG}b`].map(get));
  assertEquals(computed, [`${LONG}a`, `${LONG}b`, `${LONG}a`]);
  assertEquals([a!.body === c!.body, other!.body.at(-1)], [true, "b".charCodeAt(0)]);
});
