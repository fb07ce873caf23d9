import { RecordError } from "../../../lib/install/records/record_file.ts";
import { removePackage } from "../../../lib/install/remove_package.ts";
import { CorruptError, RefusedError } from "../../../lib/oci/error.ts";
import { assert, assertEquals, assertRejects, assertStringIncludes } from "../../support/assert.ts";
import { FolderSite, makeObject, makeRelease } from "../../support/cluster/folder_site.ts";
import { MemoryStore } from "../../support/memory_store.ts";
import { idOf } from "../../support/kubepkg.ts";

const RELEASE = makeRelease([makeObject("ConfigMap/a"), makeObject("PersistentVolumeClaim/db")]);
const KEPT = { object: "PersistentVolumeClaim/default/db", reason: "data" } as const;

Deno.test("[78] removePackage() that nothing confirms leaves the record and the emptied file; the next one continues", async () => {
  await using site = await FolderSite.create();
  await site.install(RELEASE);
  site.cluster.isReachable = false;
  for (let i = 0; i < 2; i++) {
    const { isRemoved, handedOver, manifests, untagged } = await site.remove("web");
    assertEquals([isRemoved, handedOver?.isConfirmed, handedOver?.remaining, untagged], [false, false, undefined, []]);
    assertEquals(manifests, { added: [], changed: [], removed: ["ConfigMap/default/a"], kept: [KEPT] });
    const text = await site.read() ?? "";
    assert(text.includes("PersistentVolumeClaim") && !text.includes("ConfigMap"));
    assertEquals((await site.records.handovers.read(idOf("web")))?.isRemoving, true);
  }
  assertEquals(site.objects(), [KEPT.object]);
  site.cluster.isReachable = true;
  assertEquals((await site.remove("web")).isRemoved, true);
  assertEquals([await site.read(), await site.records.listIds(), site.objects()], [undefined, [], [KEPT.object]]);
});

Deno.test("[78] removePackage() names what stays in the cluster, and why k3s does not delete it", async () => {
  await using site = await FolderSite.create();
  // k3s does not note the kinds of a file that it never applied completely, and so deletes nothing.
  site.controller.refuse = ({ kind }) => kind === "Deployment" ? "no" : undefined;
  await site.install(makeRelease([makeObject("ConfigMap/a"), makeObject("Deployment/w")]));
  const { isRemoved, handedOver } = await site.remove("web");
  assertEquals([isRemoved, handedOver?.remaining], [false, ["ConfigMap/default/a"]]);
  site.server.delete("ConfigMap/default/a");
  assertEquals((await site.remove("web")).isRemoved, true);
});

Deno.test("[78] a package that is imported again while its removal is not confirmed is as before", async () => {
  await using site = await FolderSite.create();
  await site.install(RELEASE);
  const first = await site.records.handovers.read(idOf("web"));
  site.cluster.isReachable = false;
  await site.remove("web");
  const { plan } = await site.install(RELEASE);
  assertEquals(plan.changes.kept, []);
  assertEquals(site.objects(), ["ConfigMap/default/a", KEPT.object]);
  const { isRemoving, kubepkg } = (await site.records.handovers.read(idOf("web")))!;
  assertEquals([isRemoving, kubepkg], [undefined, first?.kubepkg]);
});

Deno.test("[78] --forget drops the record: an emptied file goes too, a file with objects stays and is named", async () => {
  await using site = await FolderSite.create();
  await site.install(RELEASE);
  const manifest = await site.read();
  const { isRemoved, leftFiles } = await site.remove("web", { forget: true });
  assertEquals([isRemoved, leftFiles], [true, [`${await Deno.realPath(site.manifests)}/web.yaml`]]);
  assertEquals([await site.read(), await site.records.listIds()], [manifest, []]);

  await site.install(RELEASE, { force: true });
  site.cluster.isReachable = false;
  await site.remove("web");
  const forgotten = await site.remove("web", { forget: true });
  assertEquals([forgotten.isRemoved, forgotten.leftFiles, await site.read()], [true, [], undefined]);
});

Deno.test("[77] removePackage() leaves a file that was changed by hand, names it, and changes nothing", async () => {
  await using site = await FolderSite.create();
  await site.install(RELEASE);
  await site.folder.write("manifests/web.yaml", "# mine\n");
  const record = await site.records.handovers.read(idOf("web"));
  await assertRejects(() => site.remove("web"), RefusedError, "web.yaml was changed by hand");
  assertEquals([await site.records.handovers.read(idOf("web")), await site.read()], [record, "# mine\n"]);
  await site.remove("web", { force: true });
  assertEquals(await site.records.listIds(), []);
});

Deno.test("[78] a dry run of removePackage() lists what goes and what is kept, and changes nothing", async () => {
  await using site = await FolderSite.create();
  await site.install(RELEASE);
  const files = await site.folder.listFiles();
  const manifest = await site.read();
  const { isRemoved, manifests, handedOver } = await site.remove("web", { dryRun: true });
  assertEquals([isRemoved, handedOver], [false, undefined]);
  assertEquals(manifests, { added: [], changed: [], removed: ["ConfigMap/default/a"], kept: [KEPT] });
  const pruned = await site.remove("web", { dryRun: true, pruneData: true });
  assertEquals(pruned.manifests?.removed, ["ConfigMap/default/a", KEPT.object]);
  assertEquals([await site.folder.listFiles(), await site.read()], [files, manifest]);
});

Deno.test("[78] removePackage() where the recorded folder does not exist is an error, and changes nothing", async () => {
  await using site = await FolderSite.create();
  await site.install(RELEASE);
  await Deno.rename(site.manifests, `${site.manifests}.away`);
  for (const dryRun of [false, true]) {
    const { message } = await assertRejects(() => site.remove("web", { dryRun }), Error);
    assertStringIncludes(message, "the folder does not exist, so no cluster reads it; nothing was changed");
  }
  assertEquals((await site.records.handovers.read(idOf("web")))?.isRemoving, undefined);
});

Deno.test("removePackage() of a package that was not handed over leaves the cluster alone", async () => {
  await using site = await FolderSite.create();
  await site.records.write(RELEASE);
  const { isRemoved, handedOver, manifests } = await removePackage(idOf("web"), {
    records: site.records,
    store: new MemoryStore(),
    openHandover: () => undefined,
  });
  assertEquals([isRemoved, handedOver, manifests], [true, undefined, undefined]);
});

Deno.test("removePackage() as a dry run removes no image, and says which it would remove", async () => {
  await using site = await FolderSite.create();
  await site.records.write(RELEASE);
  const { isRemoved, untagged } = await removePackage(idOf("web"), {
    records: site.records,
    store: Object.assign(new MemoryStore(), {
      forgetImages: (_: unknown, { dryRun = false }) => Promise.resolve(dryRun ? ["registry.test/app:1"] : []),
    }),
    dryRun: true,
    openHandover: () => undefined,
  });
  assertEquals([isRemoved, untagged], [false, ["registry.test/app:1"]]);
});

Deno.test("[92] removePackage() with a broken record of another package removes the package, and keeps what that one may need", async () => {
  await using site = await FolderSite.create();
  await site.install(RELEASE);
  await site.folder.write("data/kubepkg/other/current.json", "{");
  const { isRemoved, manifests, untagged } = await site.remove("web");
  assertEquals([isRemoved, untagged, await site.read()], [true, [], undefined]);
  assertEquals([...new Set(manifests?.kept.map(({ reason }) => reason))].sort(), ["data", "unknown"]);
  assertEquals(manifests?.removed, []);
});

Deno.test("[92] removePackage() with a broken record of the hand-over needs --force or --forget", async () => {
  for (const options of [{ force: true }, { forget: true }]) {
    await using site = await FolderSite.create();
    await site.install(RELEASE);
    await site.folder.write("data/kubepkg/web/handover.json", "{");
    await assertRejects(() => site.remove("web"), CorruptError, "crpe packages remove web --forget");
    assertEquals((await site.remove("web", options)).isRemoved, true);
    assertEquals(site.objects().length, "force" in options ? 1 : 2);
  }
});

Deno.test("[92] removePackage() with a broken record of the archive of images changes nothing; --forget drops it", async () => {
  await using site = await FolderSite.create();
  await site.install(RELEASE);
  const [objects, text] = [site.objects(), await site.read()];
  await site.folder.write("data/kubepkg/.images/default/web/record.json", "{torn");
  for (const dryRun of [true, false]) {
    await assertRejects(() => site.remove("web", { dryRun }), RecordError, "--forget");
    assertEquals([site.objects(), await site.read()], [objects, text]);
  }
  assertEquals((await site.remove("web", { forget: true })).isRemoved, true);
  assertEquals(await site.records.images.read(idOf("web")), undefined);
});

Deno.test("[77] a package whose removal is not confirmed counts as another package's neighbour", async () => {
  await using site = await FolderSite.create();
  await site.install(RELEASE);
  site.cluster.isReachable = false;
  await site.remove("web");
  await site.install(makeRelease([makeObject("ConfigMap/a"), makeObject("ConfigMap/b")], { name: "other" }));
  const { plan } = await site.install(makeRelease([makeObject("ConfigMap/b")], { name: "other", version: "1.1.0" }));
  assertEquals(plan.changes.kept.map(({ reason }) => reason), ["shared"]);
});
