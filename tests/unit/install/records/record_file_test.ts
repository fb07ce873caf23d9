import { collectPackageDigests } from "../../../../lib/install/package_digests.ts";
import type { PackageRecords } from "../../../../lib/install/package_records.ts";
import { RecordError } from "../../../../lib/install/records/record_file.ts";
import { repairRecord } from "../../../../lib/install/repair_record.ts";
import { exitStatusOf } from "../../../../lib/cli/console/describe_error.ts";
import { assert, assertEquals, assertRejects } from "../../../support/assert.ts";
import { TestFolder } from "../../../support/test_folder.ts";
import { cannot, CorruptError } from "../../../../lib/oci/error.ts";

const PATH = "/d/kubepkg/line4/current.json";
const ADVICE = "; import the package again with --force, or drop its record with crpe packages remove line4 --forget";
const ROWS: readonly (readonly [what: string, cause: Error, message: string, isDamaged: boolean])[] = [
  [
    "of another user",
    new Deno.errors.PermissionDenied(`Permission denied (os error 13): open '${PATH}'`),
    `Cannot read ${PATH}: permission denied; run crpe as its owner, or as root`,
    false,
  ],
  [
    "when too many files are open",
    new Error(`Too many open files (os error 24): open '${PATH}'`),
    `Cannot read ${PATH}: too many files are open; raise the limit (ulimit -n), or try again later`,
    false,
  ],
  [
    "when the whole system has too many open",
    new Error(`Too many open files in system (os error 23): open '${PATH}'`),
    `Cannot read ${PATH}: too many files are open; raise the limit (ulimit -n), or try again later`,
    false,
  ],
  [
    "on a bad sector",
    new Error(`Input/output error (os error 5): read '${PATH}'`),
    `Cannot read ${PATH}: input/output error${ADVICE}`,
    true,
  ],
  [
    "that is cut off",
    new CorruptError(cannot(`read ${PATH} as JSON`, "it ends too early")),
    `Cannot read ${PATH} as JSON: it ends too early${ADVICE}`,
    true,
  ],
];
for (const [what, cause, message, isDamaged] of ROWS) {
  Deno.test(`[92] RecordError says what to do about a record ${what}`, async () => {
    const error = new RecordError(PATH, cause);
    assertEquals([error.message, error.isDamaged, exitStatusOf(error)], [message, isDamaged, isDamaged ? 4 : 1]);
    // An intact record is not moved aside, and what it needs is not collected.
    await using folder = await TestFolder.create();
    await folder.write("kubepkg/line4/history/000001.json", "{");
    const path = `${folder.path}/kubepkg/line4/history/000001.json`;
    const named = { path, isDamaged };
    const { isRepaired } = await repairRecord({} as PackageRecords, { name: "line4", namespace: "default" }, named);
    assertEquals([isRepaired, await Deno.stat(path).then(() => true, () => false)], [isDamaged, !isDamaged]);
    const records = {
      scan: () => Promise.resolve({ packages: [], problems: [{ id: { name: "line4", namespace: "default" }, error }] }),
      listIds: () => Promise.resolve([]),
      pending: { scan: () => Promise.resolve({ pending: [], problems: [] }) },
    } as unknown as PackageRecords;
    if (isDamaged) assertEquals((await collectPackageDigests(records)).size, 0);
    else assert(await assertRejects(() => collectPackageDigests(records), RecordError) === error);
  });
}
