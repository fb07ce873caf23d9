import { connectionsFor, countFreeFiles, filesFor } from "../../../lib/server/file_limit.ts";
import { assertEquals } from "../../support/assert.ts";

for (const [isTls, expected] of [[false, 416], [true, 192]] as const) {
  Deno.test(`[88] connectionsFor() leaves files for content: 1,024 open files, TLS ${isTls}`, () => {
    assertEquals(connectionsFor(1024, isTls), expected);
    assertEquals(filesFor(expected, isTls), 1024);
  });
}

Deno.test("connectionsFor() allows some connections whatever the limit is", () =>
  assertEquals(connectionsFor(64, true), 16));

Deno.test("[88] countFreeFiles() opens files until the system refuses one, and closes all of them", async () => {
  let open = 0;
  const count = await countFreeFiles(1000, () => {
    if (open === 300) throw new Error("Too many open files (os error 24)");
    open++;
    return { [Symbol.dispose]: () => void open-- };
  });
  assertEquals([count, open], [300, 0]);
  assertEquals(await countFreeFiles(10, () => Deno.openSync(Deno.cwd())), 10);
});
