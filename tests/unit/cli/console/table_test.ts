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

Deno.test("formatLongTable() gives the text of formatTable() in pieces", () => {
  const rows = Array.from({ length: 10_000 }, (_, i) => [`image-${i}`, "1 MiB"]);
  const pieces = [...formatLongTable(["IMAGE", "SIZE"], rows)];
  assertEquals(pieces.join(""), formatTable(["IMAGE", "SIZE"], rows));
  assertEquals(pieces.length > 2 && pieces.every(({ length }) => length < 100_000), true);
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
