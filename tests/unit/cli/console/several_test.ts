import { runSeveral } from "../../../../lib/cli/console/several.ts";
import { CorruptError, RefusedError, UsageError } from "../../../../lib/oci/error.ts";
import { assertEquals, assertRejects } from "../../../support/assert.ts";
import { createTestIo } from "../../../support/test_io.ts";

const ERRORS: Readonly<Record<string, Error>> = {
  failed: new Error("Cannot use failed: it failed"),
  refused: new RefusedError("Cannot use refused: a rule"),
  corrupt: new CorruptError("Cannot use corrupt: it is damaged"),
};

async function runItems(items: readonly string[], asJson = false) {
  const io = createTestIo();
  const numbers: number[] = [];
  const status = await runSeveral(items, { invocation: { isSet: (name) => asJson && name === "json" }, io }, (
    item,
    { number, report },
  ) => {
    numbers.push(number);
    if (item === "reported") report({ item, error: "its own" });
    if (ERRORS[item] !== undefined) throw ERRORS[item];
    if (item === "reported") throw new Error("Cannot use reported: it failed");
    report({ item }, `${item}\n`);
    return Promise.resolve();
  });
  return { status, io, numbers };
}

for (
  const [items, status, failed] of [
    [["a", "b"], 0, ""],
    [["failed"], 1, ""],
    [["a", "failed", "b"], 1, "1 of 3 failed: failed"],
    [["refused", "failed", "a"], 3, "2 of 3 failed: refused, failed"],
    [["failed", "corrupt", "refused"], 4, "3 of 3 failed: failed, corrupt, refused"],
  ] as const
) {
  Deno.test(`runSeveral() of ${items.join(", ")} does the others, and gives the worst status ${status}`, async () => {
    const { status: actual, io } = await runItems(items);
    assertEquals([actual, io.outText], [
      status,
      items.filter((item) => ERRORS[item] === undefined).map((item) => `${item}\n`).join(""),
    ]);
    const messages = items.flatMap((item) => ERRORS[item] === undefined ? [] : [`crpe: ${ERRORS[item].message}\n`]);
    assertEquals(io.errText, messages.join("") + (failed === "" ? "" : `crpe: ${failed}\n`));
  });
}

Deno.test("runSeveral() prints one array, in which an item that failed without a result has its error", async () => {
  const { io } = await runItems(["a", "failed", "reported"], true);
  assertEquals(JSON.parse(io.outText), [
    { item: "a" },
    { item: "failed", error: "Cannot use failed: it failed" },
    { item: "reported", error: "its own" },
  ]);
  assertEquals(JSON.parse((await runItems(["a"], true)).io.outText), [{ item: "a" }]);
});

Deno.test("runSeveral() stops when the command line is wrong", async () => {
  const run = () => Promise.reject(new UsageError("Cannot use x"));
  const options = { invocation: { isSet: () => true }, io: createTestIo() };
  await assertRejects(() => runSeveral(["a", "b"], options, run), UsageError);
});

Deno.test("runSeveral() numbers an item that is named twice", async () => {
  assertEquals((await runItems(["a", "b", "a"])).numbers, [1, 2, 3]);
});
