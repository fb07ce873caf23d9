import { PackageRecords } from "../../../../lib/install/package_records.ts";
import { PackageFolders } from "../../../../lib/install/records/package_folders.ts";
import { packageIdOf } from "../../../../lib/kubepkg/package_id.ts";
import { parseKubePkg } from "../../../../lib/kubepkg/parse_kubepkg.ts";
import { assertEquals } from "../../../support/assert.ts";
import { idOf, makeKubePkg } from "../../../support/kubepkg.ts";
import { TestFolder } from "../../../support/test_folder.ts";

const [WEB, SHOP] = [idOf("web"), idOf("web", "shop")];
const make = (version: string, namespace?: string) =>
  makeKubePkg({}, { name: "web", version, ...(namespace && { namespace }) });
const release = (version: string, namespace?: string) => parseKubePkg(make(version, namespace));

/** Files as crpe 0.1.0 wrote them, whose document has another namespace than `default`. */
async function createFormerFolder() {
  const folder = await TestFolder.create();
  const write = (path: string, document: unknown) => folder.write(`kubepkg/web/${path}`, JSON.stringify(document));
  await write("history/000001.json", make("0.9.0", "shop"));
  await write("history/000002.json", make("1.0.0", "shop"));
  await write("handover.json", { place: { manifestsDir: "/m" }, kubepkg: make("1.1.0", "shop") });
  await write("pending.json", { kubepkg: make("2.0.0", "shop") });
  await write("current.json", make("1.1.0", "shop"));
  return folder;
}

/** What the records tell of a package. */
async function read(path: string, id: typeof WEB) {
  const records = new PackageRecords(path);
  return {
    installed: (await records.read(id))?.spec.version,
    history: (await records.listHistory(id)).map(({ spec }) => spec.version),
    handedOver: (await records.handovers.read(id))?.kubepkg?.spec.version,
    pending: (await records.pending.read(id))?.kubepkg.spec.version,
  };
}

const FORMER = { installed: "1.1.0", history: ["0.9.0", "1.0.0"], handedOver: "1.1.0", pending: "2.0.0" };
const NONE = { installed: undefined, history: [], handedOver: undefined, pending: undefined };

Deno.test("[77] a package that crpe 0.1.0 kept under its name alone is found in its namespace", async () => {
  await using folder = await createFormerFolder();
  assertEquals([await read(folder.path, SHOP), await read(folder.path, WEB)], [FORMER, NONE]);
  const records = new PackageRecords(folder.path);
  assertEquals((await records.list()).map(packageIdOf), [SHOP]);
});

Deno.test("[77] the next write of a package of that name moves it, and both are kept", async () => {
  for (
    const [name, write] of Object.entries({
      "a record": (records: PackageRecords) => records.write(release("5.0.0")),
      "a hand-over": (records: PackageRecords) =>
        records.handovers.write(WEB, { place: { kubectl: true }, kubepkg: release("5.0.0"), files: [] }),
    })
  ) {
    await using folder = await createFormerFolder();
    await write(new PackageRecords(folder.path));
    assertEquals(await read(folder.path, SHOP), FORMER, name);
    const web = await read(folder.path, WEB);
    assertEquals(web.installed ?? web.handedOver, "5.0.0", name);
    assertEquals((await folder.listFiles("kubepkg")).filter((path) => path.startsWith("web@shop/")), [
      "web@shop/current.json",
      "web@shop/handover.json",
      "web@shop/history/000001.json",
      "web@shop/history/000002.json",
      "web@shop/pending.json",
    ]);
  }
});

Deno.test("[26] a move that was interrupted after any of its steps leaves every record readable", async () => {
  const rename = Deno.renameSync;
  for (let steps = 0; steps < 5; steps++) {
    await using folder = await createFormerFolder();
    let left = steps;
    Deno.renameSync = (from, to) => {
      if (left-- <= 0) throw new Error("killed");
      rename(from, to);
    };
    try {
      await new PackageFolders(folder.path).settle("web").catch(() => {});
    } finally {
      Deno.renameSync = rename;
    }
    assertEquals([await read(folder.path, SHOP), await read(folder.path, WEB)], [FORMER, NONE], `${steps} steps`);
    await new PackageFolders(folder.path).settle("web");
    assertEquals(await read(folder.path, SHOP), FORMER, `${steps} steps, and again`);
    assertEquals(await folder.listFiles("kubepkg/web"), []);
  }
});

Deno.test("[77] a record that crpe 0.1.0 wrote after the move is the newer one", async () => {
  await using folder = await createFormerFolder();
  await new PackageFolders(folder.path).settle("web");
  await folder.write("kubepkg/web/current.json", JSON.stringify(make("1.2.0", "shop")));
  assertEquals((await read(folder.path, SHOP)).installed, "1.2.0");
  await new PackageFolders(folder.path).settle("web");
  const { installed, history } = await read(folder.path, SHOP);
  assertEquals([installed, history], ["1.2.0", ["0.9.0", "1.0.0", "1.1.0"]]);
});

Deno.test("[77] a pending release of crpe 0.1.0 is of its own namespace, not of the installed release's", async () => {
  await using folder = await TestFolder.create();
  await folder.write("kubepkg/web/current.json", JSON.stringify(make("1.0.0")));
  await folder.write("kubepkg/web/pending.json", JSON.stringify({ kubepkg: make("2.0.0", "shop") }));
  assertEquals([(await read(folder.path, WEB)).pending, (await read(folder.path, SHOP)).pending], [undefined, "2.0.0"]);
  await new PackageRecords(folder.path).pending.write({ kubepkg: release("3.0.0") });
  assertEquals([(await read(folder.path, WEB)).pending, (await read(folder.path, SHOP)).pending], ["3.0.0", "2.0.0"]);
});

Deno.test("[52] no name and no namespace leads out of the folder of all packages", async () => {
  await using folder = await TestFolder.create();
  await folder.write("x/current.json", JSON.stringify(make("1.0.0")));
  const records = new PackageRecords(folder.path);
  for (const id of [idOf("../x"), idOf("web", "../x"), idOf(""), idOf("a@b"), idOf("web", ""), idOf("web", "a/b")]) {
    assertEquals(await records.read(id), undefined);
    assertEquals(await records.listHistory(id), []);
    assertEquals(await records.handovers.read(id), undefined);
  }
});
