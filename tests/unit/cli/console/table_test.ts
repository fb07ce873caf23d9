import { formatTable } from "../../../../lib/cli/console/table.ts";
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
