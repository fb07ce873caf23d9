import { assertEquals, assertLess } from "@std/assert";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { SharedResults } from "../../../lib/bytes/shared_bytes.ts";

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
