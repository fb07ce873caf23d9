import type { HandedOver } from "../../../../lib/install/handover/handover_records.ts";
import { PackageRecords } from "../../../../lib/install/package_records.ts";
import { parseKubePkg } from "../../../../lib/kubepkg/parse_kubepkg.ts";
import { computeDigest } from "../../../../lib/oci/digest.ts";
import { CorruptError } from "../../../../lib/oci/error.ts";
import { assertEquals, assertRejects } from "../../../support/assert.ts";
import { makeObject } from "../../../support/cluster/folder_site.ts";
import { idOf, makeKubePkg } from "../../../support/kubepkg.ts";
import { TestFolder } from "../../../support/test_folder.ts";

const release = (version: string, name = "line4") => parseKubePkg(makeKubePkg({}, { version, name }));

async function createSite() {
  const folder = await TestFolder.create();
  const records = new PackageRecords(`${folder.path}/data`);
  return { folder, records, [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose]() };
}

Deno.test("[79] HandoverRecords keeps all fields, writes no list of digests, and is for its owner alone", async () => {
  await using site = await createSite();
  const { handovers } = site.records;
  const record: HandedOver = {
    place: { manifestsDir: "/m" },
    kubepkg: release("1.0.0"),
    attempted: release("1.1.0"),
    kept: [makeObject("PersistentVolumeClaim/shop/db")],
    files: [{ path: "/m/line4.yaml", digests: [computeDigest("a"), computeDigest("b")] }, { path: "/n/line4.yaml" }],
    revision: 3,
    isRemoving: true,
  };
  await handovers.write(idOf("line4"), { ...record, kubepkg: { ...release("1.0.0"), status: { digests: [] } } });
  assertEquals(await handovers.read(idOf("line4")), record);
  assertEquals((await Deno.stat(`${site.folder.path}/data/kubepkg/line4/handover.json`)).mode! & 0o777, 0o600);
});

Deno.test("HandoverRecords reads a record of crpe 0.1.0: one file, with any content", async () => {
  await using site = await createSite();
  const write = (place: unknown) =>
    site.folder.write("data/kubepkg/line4/handover.json", JSON.stringify({ place, kubepkg: release("1.0.0") }));
  await write({ manifestsDir: "/m" });
  assertEquals((await site.records.handovers.read(idOf("line4")))?.files, [{ path: "/m/line4.yaml" }]);
  await write({ kubectl: true });
  assertEquals((await site.records.handovers.read(idOf("line4")))?.files, []);
});

Deno.test("HandoverRecords names a record that is not valid", async () => {
  await using site = await createSite();
  const kubepkg = release("1.0.0");
  const place = { kubectl: true };
  for (
    const document of [
      "{",
      "[]",
      {},
      { place },
      { place: { kubectl: false }, kubepkg },
      { place, kubepkg: {} },
      { place, kubepkg, attempted: 5 },
      { place, kubepkg, kept: {} },
      { place, kubepkg, kept: [{ kind: "ConfigMap" }] },
      { place, kubepkg, files: [{ path: "/m/x.yaml", digests: ["md5:1"] }] },
      { place, kubepkg, files: [{ digests: [] }] },
    ]
  ) {
    const text = typeof document === "string" ? document : JSON.stringify(document);
    await site.folder.write("data/kubepkg/line4/handover.json", text);
    await assertRejects(() => site.records.handovers.read(idOf("line4")), CorruptError, "line4/handover.json");
  }
});

Deno.test("[52] an invalid package name is never used in a path", async () => {
  await using site = await createSite();
  const { records, folder } = site;
  await records.write(release("1.0.0"));
  await records.handovers.write(idOf("line4"), { place: { kubectl: true }, kubepkg: release("1.0.0"), files: [] });
  const planted = await Deno.readTextFile(`${folder.path}/data/kubepkg/line4/current.json`);
  await folder.write("x/current.json", planted);
  await folder.write("x/history/000001.json", planted);
  await folder.write("x/handover.json", JSON.stringify({ place: { kubectl: true }, kubepkg: JSON.parse(planted) }));
  const before = await folder.listFiles();
  for (const name of ["../../x", "..", ".", "", "line4/../line4", "line4/", "/", "LINE4", "a".repeat(300), "line4\0"]) {
    assertEquals(await records.read(idOf(name)), undefined);
    assertEquals(await records.listHistory(idOf(name)), []);
    assertEquals(await records.handovers.read(idOf(name)), undefined);
    await records.remove(idOf(name));
  }
  assertEquals(await folder.listFiles(), before);
  assertEquals(await records.listIds(), [idOf("line4")]);
});

Deno.test("PackageRecords.remove() removes all records of a package except its pending one", async () => {
  await using site = await createSite();
  const { records, folder } = site;
  for (const version of ["1.0.0", "1.1.0"]) await records.write(release(version));
  await records.write(release("1.0.0", "other"));
  await records.handovers.write(idOf("line4"), { place: { kubectl: true }, kubepkg: release("1.1.0"), files: [] });
  await folder.write("data/kubepkg/line4/pending.json", "{}");
  await records.remove(idOf("line4"));
  assertEquals(await folder.listFiles("data/kubepkg"), ["line4/pending.json", "other/current.json"]);
  await Deno.remove(`${folder.path}/data/kubepkg/line4/pending.json`);
  await records.remove(idOf("line4"));
  assertEquals((await Array.fromAsync(Deno.readDir(`${folder.path}/data/kubepkg`))).map(({ name }) => name), ["other"]);
});
