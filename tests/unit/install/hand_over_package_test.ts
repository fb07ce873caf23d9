import { handOverPackage, isPackageHandedOver } from "../../../lib/install/hand_over_package.ts";
import { FolderHandover } from "../../../lib/install/handover/folder_handover.ts";
import type { Handover } from "../../../lib/install/handover/handover.ts";
import { PackageRecords } from "../../../lib/install/package_records.ts";
import type { KubePkg } from "../../../lib/kubepkg/kubepkg.ts";
import { parseKubePkg } from "../../../lib/kubepkg/parse_kubepkg.ts";
import { CorruptError } from "../../../lib/oci/error.ts";
import { assertEquals, assertRejects, assertStringIncludes } from "../../support/assert.ts";
import { makeKubePkg } from "../../support/kubepkg.ts";
import { TestFolder } from "../../support/test_folder.ts";

const release = (version: string, name = "line4") =>
  parseKubePkg(makeKubePkg({}, { version, name, data: { version } }));

/** A hand-over that only records its calls. */
class RecordedHandover implements Handover {
  readonly calls: string[] = [];
  place = () => Promise.resolve({ kubectl: true } as const);
  prepare = () => Promise.resolve();
  isHandedOver = () => Promise.resolve(true);
  remove = () => Promise.resolve({ where: "", left: [] });
  handOver(kubepkg: KubePkg, previous: KubePkg | undefined) {
    this.calls.push(`${previous?.spec.version} → ${kubepkg.spec.version}`);
    return Promise.resolve({ where: "", left: [] });
  }
}

async function createSite() {
  const folder = await TestFolder.create();
  const records = new PackageRecords(`${folder.path}/data`);
  return { folder, records, [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose]() };
}

Deno.test("handOverPackage() passes the release that was handed over before, not the installed one", async () => {
  await using site = await createSite();
  const handover = new RecordedHandover();
  await handOverPackage(handover, site.records, release("1.0.0"));
  await site.records.write(release("2.0.0"));
  await handOverPackage(handover, site.records, release("3.0.0"));
  assertEquals(handover.calls, ["undefined → 1.0.0", "1.0.0 → 3.0.0"]);
  assertEquals((await site.records.handovers.read("line4"))?.place, { kubectl: true });
});

Deno.test("handOverPackage() to another folder keeps the file in the previous one, and notes it", async () => {
  await using site = await createSite();
  const [a, b] = ["a", "b"].map((name) => new FolderHandover(`${site.folder.path}/${name}`)) as [
    FolderHandover,
    FolderHandover,
  ];
  assertEquals((await handOverPackage(a, site.records, release("1.0.0"))).note, undefined);
  const { note } = await handOverPackage(b, site.records, release("1.1.0"));
  assertStringIncludes(note ?? "", "/a/line4.yaml has an earlier hand-over");
  assertEquals([await site.folder.listFiles("a"), await site.folder.listFiles("b")], [["line4.yaml"], ["line4.yaml"]]);
});

Deno.test("handOverPackage() to kubectl removes only the package's file", async () => {
  await using site = await createSite();
  const folder = new FolderHandover(`${site.folder.path}/a`);
  for (const name of ["line4", "other"]) await handOverPackage(folder, site.records, release("1.0.0", name));
  const { note } = await handOverPackage(new RecordedHandover(), site.records, release("1.1.0"));
  assertStringIncludes(note ?? "", "/a/line4.yaml is removed");
  assertEquals(await site.folder.listFiles("a"), ["other.yaml"]);
  await site.records.handovers.write({ place: { manifestsDir: "/nonexistent" }, kubepkg: release("1.1.0") });
  assertEquals((await handOverPackage(new RecordedHandover(), site.records, release("1.2.0"))).note, undefined);
});

Deno.test("isPackageHandedOver() is true only for the recorded place", async () => {
  await using site = await createSite();
  const { records } = site;
  const [a, b] = ["a", "b"].map((name) => new FolderHandover(`${site.folder.path}/${name}`)) as [
    FolderHandover,
    FolderHandover,
  ];
  const kubepkg = release("1.0.0");
  assertEquals(await isPackageHandedOver(a, records, kubepkg), false);
  await a.handOver(kubepkg);
  assertEquals(await isPackageHandedOver(a, records, kubepkg), false);
  await handOverPackage(a, records, kubepkg);
  assertEquals(await isPackageHandedOver(a, records, kubepkg), true);
  assertEquals(await isPackageHandedOver(a, records, release("1.1.0")), false);
  await b.handOver(kubepkg);
  assertEquals(await isPackageHandedOver(b, records, kubepkg), false);
});

Deno.test("HandoverRecords writes no list of digests, and names a record that is not valid", async () => {
  await using site = await createSite();
  const { handovers } = site.records;
  const kubepkg = { ...release("1.0.0"), status: { digests: [] } };
  await handovers.write({ place: { manifestsDir: "/m" }, kubepkg });
  assertEquals(await handovers.read("line4"), { place: { manifestsDir: "/m" }, kubepkg: release("1.0.0") });
  for (const text of ["{", "[]", "{}", '{"place":{"kubectl":false}}', '{"place":{"kubectl":true},"kubepkg":{}}']) {
    await site.folder.write("data/kubepkg/line4/handover.json", text);
    await assertRejects(() => handovers.read("line4"), CorruptError, "line4/handover.json");
  }
});

Deno.test("[52] an invalid package name is never used in a path", async () => {
  await using site = await createSite();
  const { records, folder } = site;
  await records.write(release("1.0.0"));
  await records.handovers.write({ place: { kubectl: true }, kubepkg: release("1.0.0") });
  const planted = await Deno.readTextFile(`${folder.path}/data/kubepkg/line4/current.json`);
  await folder.write("x/current.json", planted);
  await folder.write("x/history/000001.json", planted);
  await folder.write("x/handover.json", JSON.stringify({ place: { kubectl: true }, kubepkg: JSON.parse(planted) }));
  const before = await folder.listFiles();
  for (const name of ["../../x", "..", ".", "", "line4/../line4", "line4/", "/", "LINE4", "a".repeat(300), "line4\0"]) {
    assertEquals(await records.read(name), undefined);
    assertEquals(await records.listHistory(name), []);
    assertEquals(await records.handovers.read(name), undefined);
    await records.remove(name);
  }
  assertEquals(await folder.listFiles(), before);
});

Deno.test("PackageRecords.remove() removes all records of a package except its pending one", async () => {
  await using site = await createSite();
  const { records, folder } = site;
  for (const version of ["1.0.0", "1.1.0"]) await records.write(release(version));
  await records.write(release("1.0.0", "other"));
  await records.handovers.write({ place: { kubectl: true }, kubepkg: release("1.1.0") });
  await folder.write("data/kubepkg/line4/pending.json", "{}");
  await records.remove("line4");
  assertEquals(await folder.listFiles("data/kubepkg"), ["line4/pending.json", "other/current.json"]);
  await Deno.remove(`${folder.path}/data/kubepkg/line4/pending.json`);
  await records.remove("line4");
  assertEquals((await Array.fromAsync(Deno.readDir(`${folder.path}/data/kubepkg`))).map(({ name }) => name), ["other"]);
});
