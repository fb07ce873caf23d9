import { PackageRecords } from "../../../lib/install/package_records.ts";
import { repairRecord } from "../../../lib/install/repair_record.ts";
import { assertEquals, assertStringIncludes } from "../../support/assert.ts";
import { idOf } from "../../support/kubepkg.ts";
import { TestFolder } from "../../support/test_folder.ts";

const records: [path: string, isRepaired: boolean, outcome: string][] = [
  ["line4/history/000001.json", true, "moved aside; it is no longer possible to roll back to this release"],
  ["line4/pending.json", true, "moved aside; send the bundle again"],
  ["line4/current.json", false, "nothing else tells what was in it"],
  ["history/current.json", false, "nothing else tells what was in it"],
  ["history/handover.json", false, "nothing else tells what was in it"],
  ["history/history/000001.json", true, "moved aside; it is no longer possible to roll back to this release"],
];
for (const [path, isRepaired, outcome] of records) {
  Deno.test(`[91] repairRecord() ${isRepaired ? "moves" : "does not move"} ${path} aside without a record of the hand-over`, async () => {
    await using folder = await TestFolder.create();
    const file = await folder.write(`kubepkg/${path}`, "{");
    const id = idOf(path.split("/")[0]!);
    const repair = await repairRecord(new PackageRecords(folder.path), id, { path: file, isDamaged: true });
    assertEquals(repair.isRepaired, isRepaired);
    assertStringIncludes(repair.outcome, outcome);
  });
}
