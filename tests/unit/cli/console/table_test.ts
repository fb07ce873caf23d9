import { formatJson, formatJsonList, formatLongTable, formatTable } from "../../../../lib/cli/console/table.ts";
import { assertEquals } from "../../../support/assert.ts";

Deno.test("formatTable() aligns the columns, without spaces at the end of a line", () => {
  assertEquals(
    formatTable(["IMAGE", "SIZE"], [["a", "1"], ["a-long-name", ""]]),
    "IMAGE        SIZE\na            1\na-long-name\n",
  );
  assertEquals(formatTable(["IMAGE", "SIZE"], []), "IMAGE  SIZE\n");
});

Deno.test("formatTable() formats more rows than a function can have arguments", () => {
  const rows = Array.from({ length: 300_000 }, () => ["a"]);
  assertEquals(formatTable(["X"], rows).length, 2 * 300_001);
});

for (const count of [0, 1, 999, 1000, 1001, 2500]) {
  Deno.test(`formatLongTable() gives the text of formatTable() of ${count} rows, at most 1,000 rows a piece`, async () => {
    const rows = Array.from({ length: count }, (_, i) => [`image-${1000 + i}`, "1 MiB"]);
    const pieces = await Array.fromAsync(formatLongTable(["IMAGE", "SIZE"], ReadableStream.from(rows)));
    assertEquals(pieces.join(""), formatTable(["IMAGE", "SIZE"], rows));
    assertEquals(pieces.every((piece) => piece.split("\n").length <= 1001), true);
  });
}

Deno.test("formatLongTable() widens the columns for a longer row, and never narrows them", async () => {
  const rows = Array.from({ length: 3000 }, (_, i) => [i === 1500 ? "a-long-name" : "a", "1"]);
  const pieces = await Array.fromAsync(formatLongTable(["IMAGE", "SIZE"], ReadableStream.from(rows)));
  const lines = pieces.join("").split("\n");
  assertEquals([lines[1], lines[1200], lines[1501], lines[2900]], [
    "a      1",
    "a            1",
    "a-long-name  1",
    "a            1",
  ]);
});

const LISTS: readonly (readonly unknown[])[] = [[], [1], [{ a: [1, { b: "x\ny" }], c: {} }, [], { d: null }, "text"]];

for (const values of LISTS) {
  Deno.test(`formatJsonList() formats ${values.length} values as formatJson() does`, async () => {
    assertEquals(
      (await Array.fromAsync(formatJsonList(ReadableStream.from<unknown>(values)))).join(""),
      formatJson(values),
    );
  });
}
