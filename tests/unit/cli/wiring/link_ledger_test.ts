import { LinkLedgerFile } from "../../../../lib/cli/wiring/link_ledger.ts";
import { guardFolder } from "../../../../lib/files/durable.ts";
import { CrpeError } from "../../../../lib/oci/error.ts";
import { assertEquals, assertRejects } from "../../../support/assert.ts";
import { TestFolder } from "../../../support/test_folder.ts";

const MIB = 1024 * 1024;
const budget = { bytes: 10 * MIB, period: "day" } as const;
const today = { name: "2026-11-28", end: 0 };
const tomorrow = { name: "2026-11-29", end: 0 };

Deno.test("[101] processes that use one data folder share a budget, and a new process continues it", async () => {
  await using folder = await TestFolder.create();
  const data = `${folder.path}/data`;
  const open = () => new LinkLedgerFile(data, () => {});
  const claims = await Promise.all(
    Array.from({ length: 4 }, open).flatMap((it) => [it.claim(budget, today, 3 * MIB), it.claim(budget, today, MIB)]),
  );
  assertEquals(claims.reduce((sum, bytes) => sum + bytes, 0), 10 * MIB);
  assertEquals(await open().claim(budget, today, 1), 0);
  assertEquals(await open().claim({ ...budget, host: "ghcr.io" }, today, 1), 1);
  assertEquals(await open().claim({ ...budget, period: "month" }, { name: "2026-11", end: 0 }, 5), 5);
  await open().release(budget, today, 2 * MIB);
  assertEquals(await open().read(budget, today), 8 * MIB);
  assertEquals(await open().claim(budget, today, 3 * MIB), 2 * MIB);
  assertEquals(await open().claim(budget, tomorrow, 3 * MIB), 3 * MIB);
  // The clock is set back.
  assertEquals(await open().claim(budget, today, 10 * MIB), 7 * MIB);
  assertEquals(await open().read(budget, tomorrow), 10 * MIB);
  assertEquals((await folder.listFiles("data")).sort(), [".link-usage.json", ".link-usage.lock"]);
});

Deno.test("[109] a budget is neither claimed nor written in an empty folder in the place of the data folder", async () => {
  await using folder = await TestFolder.create();
  const data = `${folder.path}/data`;
  const ledger = new LinkLedgerFile(data, () => {});
  await Deno.mkdir(data);
  using _served = guardFolder(data);
  assertEquals(await ledger.claim(budget, today, MIB), MIB);
  await Deno.rename(data, `${data}.aside`);
  await Deno.mkdir(data);
  await assertRejects(() => ledger.claim(budget, today, MIB), CrpeError, `Cannot use ${data}: it was moved`);
  assertEquals(await folder.listFiles("data"), []);
});

for (const text of ["", "{", "null", '{"claimed":{"* day":{"period":1,"bytes":2}}}', '{"claimed":{"* day":null}}']) {
  Deno.test(`[101] a damaged file of what was used is reported: ${JSON.stringify(text)}`, async () => {
    await using folder = await TestFolder.create();
    await Deno.writeTextFile(`${folder.path}/.link-usage.json`, text);
    const warnings: string[] = [];
    const ledger = new LinkLedgerFile(folder.path, (message) => warnings.push(message));
    assertEquals(await ledger.claim(budget, today, 5), 5);
    assertEquals(warnings, [`${folder.path}/.link-usage.json is damaged: what was received so far is not counted`]);
    assertEquals(await ledger.read(budget, today), 5);
  });
}
