import { PackageRecords } from "../../../lib/install/package_records.ts";
import { parseKubePkg } from "../../../lib/kubepkg/parse_kubepkg.ts";
import { CorruptError } from "../../../lib/oci/error.ts";
import { assertEquals, assertRejects } from "../../support/assert.ts";
import { makeKubePkg } from "../../support/kubepkg.ts";
import { TestFolder } from "../../support/test_folder.ts";

const release = (version: string, name = "line4") => parseKubePkg(makeKubePkg({}, { version, name }));

Deno.test("PackageRecords lists nothing in an empty folder", async () => {
  await using folder = await TestFolder.create();
  const records = new PackageRecords(folder.path);
  assertEquals(await records.list(), []);
  assertEquals(await records.read("line4"), undefined);
  assertEquals(await records.listHistory("line4"), []);
});

Deno.test("PackageRecords keeps the releases that a package replaced, the oldest first", async () => {
  await using folder = await TestFolder.create();
  const records = new PackageRecords(folder.path);
  for (const version of ["1.0.0", "1.1.0", "2.0.0"]) await records.write(release(version));
  await records.write(release("0.1.0", "another"));
  assertEquals((await records.read("line4"))?.spec.version, "2.0.0");
  assertEquals((await records.listHistory("line4")).map(({ spec }) => spec.version), ["1.0.0", "1.1.0"]);
  assertEquals((await records.list()).map(({ metadata }) => metadata.name), ["another", "line4"]);
  assertEquals(await folder.listFiles("ingest"), []);
});

Deno.test("PackageRecords adds a release to the history once if a write was interrupted before the new record", async () => {
  await using folder = await TestFolder.create();
  const records = new PackageRecords(folder.path);
  await records.write(release("1.0.0"));
  const current = await Deno.readTextFile(`${folder.path}/kubepkg/line4/current.json`);
  await records.write(release("2.0.0"));
  await folder.write("kubepkg/line4/current.json", current);
  await records.write(release("2.0.0"));
  assertEquals((await records.listHistory("line4")).map(({ spec }) => spec.version), ["1.0.0"]);
  // Installing the earlier release again, and then the later one, adds both to the history.
  await records.write(release("1.0.0"));
  await records.write(release("2.0.0"));
  assertEquals((await records.listHistory("line4")).map(({ spec }) => spec.version), ["1.0.0", "2.0.0", "1.0.0"]);
});

Deno.test("[38] PackageRecords.lock() is exclusive", async () => {
  await using folder = await TestFolder.create();
  const steps: string[] = [];
  const work = async (name: string) => {
    using _ = await new PackageRecords(folder.path).lock();
    steps.push(`${name} begins`);
    await new Promise((resolve) => setTimeout(resolve, 1));
    steps.push(`${name} ends`);
  };
  await Promise.all(["a", "b", "c", "d"].map(work));
  assertEquals(steps.length, 8);
  for (let i = 0; i < steps.length; i += 2) assertEquals(steps[i]?.[0], steps[i + 1]?.[0], steps.join());
});

Deno.test("PackageRecords.lock() resolves without a lock if the folder is not writable", async () => {
  await using folder = await TestFolder.create();
  await folder.write("data", "a file");
  using lock = await new PackageRecords(`${folder.path}/data`).lock();
  assertEquals(typeof lock[Symbol.dispose], "function");
});

Deno.test("PackageRecords names a record that is not valid", async () => {
  await using folder = await TestFolder.create();
  await folder.write("kubepkg/line4/current.json", '{"apiVersion":');
  await assertRejects(() => new PackageRecords(folder.path).list(), CorruptError, "line4/current.json");
});
