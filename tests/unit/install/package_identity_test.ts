import { joinChunks } from "../../../lib/bytes/join_chunks.ts";
import { packBundle } from "../../support/pack_bundle.ts";
import { FolderHandover } from "../../../lib/install/handover/folder_handover.ts";
import { installBundle } from "../../support/install_bundle.ts";
import type { InstallOptions } from "../../../lib/install/installation.ts";
import { PackageRecords } from "../../../lib/install/package_records.ts";
import { removePackage } from "../../../lib/install/remove_package.ts";
import { rollBackPackage } from "../../../lib/install/rollback_package.ts";
import { RecordError } from "../../../lib/install/records/record_file.ts";
import { formatPackageId, type PackageId, packageIdOf } from "../../../lib/kubepkg/package_id.ts";
import { parseKubePkg } from "../../../lib/kubepkg/parse_kubepkg.ts";
import { RefusedError } from "../../../lib/oci/error.ts";
import { DiskStore } from "../../../lib/store/disk_store.ts";
import { assertEquals, assertRejects, assertStringIncludes } from "../../support/assert.ts";
import { streamOf } from "../../support/content.ts";
import { idOf } from "../../support/kubepkg.ts";
import { MemoryStore } from "../../support/memory_store.ts";
import { TestFolder } from "../../support/test_folder.ts";
import { listPending } from "../../support/list_pending.ts";

const [WEB, SHOP, LAB] = [idOf("web"), idOf("web", "shop"), idOf("web", "lab")];

function release({ namespace, name }: PackageId, version: string) {
  return parseKubePkg({
    apiVersion: "octohelm.tech/v1alpha1",
    kind: "KubePkg",
    metadata: { name, namespace },
    spec: {
      version,
      manifests: { a: { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "a" }, data: { version } } },
    },
  });
}

async function bundle(id: PackageId, version: string): Promise<Uint8Array<ArrayBuffer>> {
  const parts: Uint8Array[] = [];
  await packBundle(release(id, version), new MemoryStore(), {
    output: { write: (bytes: Uint8Array<ArrayBuffer>) => void parts.push(bytes.slice()) },
  });
  return joinChunks(parts);
}

async function createSite() {
  const folder = await TestFolder.create();
  const [data, manifests] = [`${folder.path}/data`, `${folder.path}/manifests`];
  await Deno.mkdir(manifests);
  const [store, records] = [new DiskStore(data), new PackageRecords(data)];
  const handover = new FolderHandover(manifests);
  const options = {
    records,
    store,
    openHandover: () => handover,
  };
  return {
    folder,
    records,
    install: async (id: PackageId, version: string, more: Partial<InstallOptions> = {}) =>
      await installBundle(streamOf(await bundle(id, version)), { store, records, handover, ...more }),
    rollBack: (id: PackageId) => rollBackPackage(id, options),
    forget: (id: PackageId) => removePackage(id, { ...options, forget: true }),
    list: async () => (await records.list()).map((it) => `${formatPackageId(packageIdOf(it))} ${it.spec.version}`),
    history: async (id: PackageId) => (await records.listHistory(id)).map(({ spec }) => spec.version),
    manifests: async () =>
      Object.fromEntries(
        await Promise.all((await folder.listFiles("manifests")).map(async (name) => {
          const text = await Deno.readTextFile(`${manifests}/${name}`);
          return [/namespace: "?([a-z]+)/.exec(text)?.[1] ?? "?", /version: "(.*)"/.exec(text)?.[1]];
        })),
      ),
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}

Deno.test("[77] packages of one name in two namespaces live side by side: record, history, file, rollback, removal", async () => {
  await using site = await createSite();
  assertEquals((await site.install(SHOP, "1.0.0")).sameNameIn, undefined);
  assertEquals((await site.install(LAB, "2.0.0")).sameNameIn, ["shop"]);
  assertEquals((await site.install(WEB, "3.0.0")).sameNameIn, ["lab", "shop"]);
  assertEquals(await site.list(), ["web 3.0.0", "lab/web 2.0.0", "shop/web 1.0.0"]);
  assertEquals((await site.folder.listFiles("manifests")).length, 3);
  assertEquals(await site.manifests(), { default: "3.0.0", lab: "2.0.0", shop: "1.0.0" });
  const upgraded = await site.install(SHOP, "1.1.0");
  assertEquals([upgraded.plan.verdict, upgraded.plan.installedVersion], ["upgrade", "1.0.0"]);
  assertEquals([await site.history(SHOP), await site.history(LAB), await site.history(WEB)], [["1.0.0"], [], []]);
  await assertRejects(() => site.rollBack(LAB), RefusedError, "Cannot roll lab/web back: 2.0.0 is the only version");
  const { from, to, namespace } = await site.rollBack(SHOP);
  assertEquals([from, to, namespace], ["1.1.0", "1.0.0", "shop"]);
  assertEquals(await site.manifests(), { default: "3.0.0", lab: "2.0.0", shop: "1.0.0" });
  assertEquals((await site.forget(LAB)).version, "2.0.0");
  assertEquals(await site.list(), ["web 3.0.0", "shop/web 1.0.0"]);
  await assertRejects(() => site.forget(LAB), Error, "Cannot remove lab/web: it is not installed");
});

Deno.test("[77] pending releases of one name in two namespaces do not replace each other", async () => {
  await using site = await createSite();
  const { pending } = site.records;
  for (const id of [WEB, SHOP, LAB]) await pending.write({ kubepkg: release(id, "1.0.0") });
  await pending.remove(SHOP);
  assertEquals((await listPending(pending)).map(({ kubepkg }) => packageIdOf(kubepkg)), [WEB, LAB]);
});

Deno.test("a name and a namespace that are too long for a folder are refused before anything is written", async () => {
  await using site = await createSite();
  const long = idOf("a".repeat(60) + `.${"b".repeat(60)}`.repeat(3), "c".repeat(63));
  const refused = await assertRejects(() => site.install(long, "1.0.0"), RefusedError);
  assertStringIncludes(refused.message, "more than 254 characters together");
  assertEquals(await site.folder.listFiles("data/kubepkg"), []);
});

for (const file of ["current.json", "handover.json", "history/000001.json", "pending.json"]) {
  Deno.test(`[92] ${file} that cannot be read stops no other package, and --force and --forget are ways back`, async () => {
    await using site = await createSite();
    for (const version of ["1.0.0", "2.0.0"]) await site.install(WEB, version);
    await site.folder.write(`data/kubepkg/web/${file}`, "{torn");
    assertEquals((await site.install(SHOP, "1.0.0")).isImported, true);
    if (file === "current.json" || file === "handover.json") {
      const { message } = await assertRejects(() => site.install(WEB, "3.0.0"), RecordError, `web/${file}`);
      assertStringIncludes(message, "import the package again with --force");
    }
    const forced = await site.install(WEB, "3.0.0", { force: true });
    assertEquals(forced.setAside, [`${site.folder.path}/data/kubepkg/web/${file}.broken`]);
    assertEquals(await site.list(), ["web 3.0.0", "shop/web 1.0.0"]);
    assertEquals((await site.manifests()).default, "3.0.0");
    assertEquals(await site.records.listProblems(WEB), []);

    await site.folder.write(`data/kubepkg/web/${file}`, "{torn");
    assertEquals((await site.forget(WEB)).isRemoved, true);
    assertEquals(await site.list(), ["shop/web 1.0.0"]);
    assertEquals(await site.records.listProblems(WEB), []);
  });
}
