// What happens in a cluster whose k3s polls the folder that packages are handed over in.
import type { HandOverOptions } from "../../../lib/install/hand_over_package.ts";
import type { KubeObject } from "../../../lib/kubepkg/kubepkg.ts";
import { assert, assertEquals, assertStringIncludes } from "../../support/assert.ts";
import { FolderSite, makeObject, makeRelease, THINGS } from "../../support/cluster/folder_site.ts";
import { idOf } from "../../support/kubepkg.ts";

type Given = readonly (string | KubeObject)[];

const objectsOf = (given: Given) => given.map((it) => typeof it === "string" ? makeObject(it) : it);
const CRD = "CustomResourceDefinition/things.example.org";
const DATA = ["Namespace/shop", "PersistentVolumeClaim/shop/db", "PersistentVolume/pv", "StorageClass/fast", THINGS];
const DATA_LABELS = [
  CRD,
  "Namespace/shop",
  "PersistentVolume/pv",
  "PersistentVolumeClaim/shop/db",
  "StorageClass/fast",
];

/** A site, with releases numbered as they are installed. */
async function createSite() {
  const site = await FolderSite.create();
  let number = 0;
  return {
    site,
    install: async (
      given: Given,
      { name = "web", namespace = "default", ...options }:
        & { name?: string; namespace?: string }
        & Partial<HandOverOptions> = {},
    ) => {
      return await site.install(
        makeRelease(objectsOf(given), { name, namespace, version: `1.${number++}.0` }),
        options,
      );
    },
    [Symbol.asyncDispose]: () => site[Symbol.asyncDispose](),
  };
}

Deno.test("[77] data that leaves a release stays in the cluster, also when k3s starts again, and goes with consent", async () => {
  await using it = await createSite();
  await it.install([...DATA, "ConfigMap/a"]);
  const { plan } = await it.install(["ConfigMap/b"]);
  assertEquals(plan.changes.kept.map(({ reason }) => reason), DATA.map(() => "data"));
  assertEquals(it.site.objects(), ["ConfigMap/default/b", ...DATA_LABELS]);
  it.site.controller.restart();
  await it.site.poll();
  await it.install(["ConfigMap/c"]);
  assertEquals(it.site.objects(), ["ConfigMap/default/c", ...DATA_LABELS]);
  const { plan: pruned } = await it.install(["ConfigMap/c"], { pruneData: true });
  // Only kubectl can tell what else is in the Namespace.
  assertEquals(pruned.changes.kept.map(({ object, reason }) => [object.identity.kind, reason]), [[
    "Namespace",
    "unknown",
  ]]);
  assertEquals(it.site.objects(), ["ConfigMap/default/c", "Namespace/shop"]);
});

Deno.test("[77] data that comes back in a later release is the package's again", async () => {
  await using it = await createSite();
  await it.install(["PersistentVolumeClaim/db"]);
  await it.install([]);
  const claim = makeObject("PersistentVolumeClaim/db", { spec: { size: 2 } });
  const { plan } = await it.install([claim]);
  assertEquals([plan.changes.kept, plan.changes.added, plan.changes.changed.length], [[], [], 1]);
  assertEquals(it.site.server.get("PersistentVolumeClaim/default/db")?.spec, { size: 2 });
});

Deno.test("[77] a package of the same name in another namespace is another package, and leaves the objects of the first alone", async () => {
  await using it = await createSite();
  await it.install(["ConfigMap/a"], { namespace: "shop" });
  assertEquals(it.site.objects(), ["ConfigMap/shop/a", "Namespace/shop"]);
  it.site.server.put({ apiVersion: "v1", kind: "Secret", metadata: { name: "mine", namespace: "shop" } }, "kubectl");
  await it.install(["ConfigMap/lab/a"], { namespace: "lab" });
  assertEquals(it.site.objects(), [
    "ConfigMap/lab/a",
    "ConfigMap/shop/a",
    "Namespace/lab",
    "Namespace/shop",
    "Secret/shop/mine",
  ]);
});

for (const pruneData of [false, true]) {
  Deno.test(`[77] a removal ${pruneData ? "with consent deletes" : "keeps"} data, and a release installed later does not delete it`, async () => {
    await using it = await createSite();
    await it.install([...DATA, "ConfigMap/shop/a", { ...makeObject("Thing/shop/t") }]);
    const { isRemoved, manifests } = await it.site.remove("web", { pruneData });
    assertEquals(isRemoved, true);
    const left = pruneData ? ["Namespace/shop"] : DATA_LABELS;
    assertEquals([it.site.objects(), await it.site.read()], [left, undefined]);
    assertEquals(manifests?.kept.map(({ object }) => object).sort(), left);
    assertEquals(await it.site.records.listIds(), []);
    // The name of the file, and so the Addon, is the same. A kind that is in both is pruned by k3s.
    await it.install(["PersistentVolumeClaim/other", "ConfigMap/b"]);
    assertEquals(it.site.objects(), ["ConfigMap/default/b", ...left, "PersistentVolumeClaim/default/other"].sort());
    await it.install(["ConfigMap/b"]);
    assertEquals(it.site.objects(), ["ConfigMap/default/b", ...left, "PersistentVolumeClaim/default/other"].sort());
  });
}

Deno.test("[77] data that was kept by a removal belongs to the package again when a release has it", async () => {
  await using it = await createSite();
  await it.install(["PersistentVolumeClaim/db"]);
  await it.site.remove("web");
  await it.install(["PersistentVolumeClaim/db", "ConfigMap/a"]);
  assertEquals((it.site.server.get("PersistentVolumeClaim/default/db")?.metadata as { labels: unknown }).labels, {
    "objectset.rio.cattle.io/owner-name": "web",
  });
  await it.install(["ConfigMap/a"], { pruneData: true });
  assertEquals(it.site.objects(), ["ConfigMap/default/a"]);
});

for (const [first, second] of [["one", "two"], ["two", "one"]] as const) {
  Deno.test(`[77] ${second} is removed, and keeps what ${first} has too: an object, the Namespace and what is in it`, async () => {
    await using it = await createSite();
    await it.install(["Namespace/shop", "ConfigMap/shop/both", "ConfigMap/shop/one"], { name: "one" });
    await it.install(["Namespace/shop", "ConfigMap/shop/both", "ConfigMap/shop/two"], { name: "two" });
    const { isRemoved, manifests } = await it.site.remove(second);
    assertEquals(isRemoved, true);
    assertEquals(manifests?.kept, [
      { object: "Namespace/shop", reason: "shared" },
      { object: "ConfigMap/shop/both", reason: "shared" },
    ]);
    const rest = ["ConfigMap/shop/both", `ConfigMap/shop/${first}`, "Namespace/shop"];
    assertEquals(it.site.objects(), rest);
    it.site.controller.restart();
    await it.site.poll();
    assertEquals(it.site.objects(), rest);
  });

  Deno.test(`[77] an upgrade of ${second} that drops what ${first} has too keeps it, as ${first} has it`, async () => {
    await using it = await createSite();
    const both = (owner: string) => makeObject("ConfigMap/shop/both", { data: { owner } });
    for (const name of ["one", "two"]) await it.install(["Namespace/shop", both(name)], { name });
    await it.install(["Namespace/shop"], { name: second });
    assertEquals(it.site.server.get("ConfigMap/shop/both")?.data, { owner: first });
    // Once neither has it, the next hand-overs delete it.
    await it.install(["Namespace/shop"], { name: first });
    await it.install(["Namespace/shop", "ConfigMap/shop/x"], { name: second });
    assertEquals(it.site.objects(), ["ConfigMap/shop/x", "Namespace/shop"]);
  });
}

Deno.test("[77] a Namespace in which another package has objects stays when its own package is removed with consent", async () => {
  await using it = await createSite();
  await it.install(["Namespace/shop", "ConfigMap/shop/a"], { name: "one" });
  await it.install(["ConfigMap/shop/b"], { name: "two" });
  const { manifests } = await it.site.remove("one", { pruneData: true });
  assertEquals(manifests?.kept, [{ object: "Namespace/shop", reason: "in use" }]);
  assertEquals(it.site.objects(), ["ConfigMap/shop/b", "Namespace/shop"]);
});

Deno.test("[77] an object that moves to another package is never deleted, whichever is handed over first", async () => {
  await using it = await createSite();
  await it.install(["ConfigMap/a", "ConfigMap/moves"], { name: "one" });
  await it.install(["ConfigMap/b", "ConfigMap/moves"], { name: "two" });
  await it.install(["ConfigMap/a"], { name: "one" });
  assert(it.site.objects().includes("ConfigMap/default/moves"));
  await it.install(["ConfigMap/a", "ConfigMap/moves"], { name: "one" });
  await it.install(["ConfigMap/b"], { name: "two" });
  assert(it.site.objects().includes("ConfigMap/default/moves"));
});

Deno.test("[82] the items of a List are objects of their own: one that leaves it is deleted and named", async () => {
  await using it = await createSite();
  const list = (...labels: string[]): KubeObject => ({ apiVersion: "v1", kind: "List", items: objectsOf(labels) });
  await it.install([list("ConfigMap/a", "ConfigMap/b", "PersistentVolumeClaim/db")]);
  const { plan } = await it.install([list("ConfigMap/a")]);
  assertEquals(plan.changes.deleted.map(({ identity }) => identity.name), ["b"]);
  assertEquals(it.site.objects(), ["ConfigMap/default/a", "PersistentVolumeClaim/default/db"]);
});

Deno.test("[78] a release that is installed again after k3s failed on the next one is applied again", async () => {
  await using it = await createSite();
  const one = makeRelease(objectsOf(["ConfigMap/a", "Deployment/w"]), { version: "1.0.0" });
  await it.site.install(one);
  it.site.controller.refuse = ({ kind }) => kind === "Deployment" ? "the field is immutable" : undefined;
  await it.site.install(makeRelease(objectsOf(["ConfigMap/b", "Deployment/w"]), { version: "2.0.0" }));
  it.site.controller.refuse = () => undefined;
  await it.site.install(one);
  assertEquals(it.site.objects(), ["ConfigMap/default/a", "Deployment/default/w"]);
});

Deno.test("[78] force makes k3s apply equal content again; without force it does not", async () => {
  await using it = await createSite();
  const kubepkg = makeRelease(objectsOf(["ConfigMap/a"]));
  await it.site.install(kubepkg);
  it.site.server.delete("ConfigMap/default/a");
  await it.site.install(kubepkg);
  assertEquals(it.site.objects(), []);
  await it.site.install(kubepkg, { force: true });
  assertEquals(it.site.objects(), ["ConfigMap/default/a"]);
});

Deno.test("[77] a foreign file of the same name keeps its objects", async () => {
  await using it = await createSite();
  await it.site.folder.write("manifests/web.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: theirs\n");
  await it.site.poll();
  const refused = await it.install(["ConfigMap/a"]).catch((error: Error) => error.message);
  assertStringIncludes(String(refused), "was not written by crpe");
  await it.site.poll();
  assertEquals(it.site.objects(), ["ConfigMap/default/theirs"]);
});

Deno.test("[77] two packages whose files would have one name do not prune each other", async () => {
  await using it = await createSite();
  await it.install(["ConfigMap/a"], { name: "web" });
  const { manifests } = it.site;
  const record = (await it.site.records.handovers.read(idOf("web")))!;
  // As another package that has the file name which crpe would give to web.
  await it.site.records.handovers.remove(idOf("web"));
  await it.site.records.remove(idOf("web"));
  await it.site.records.handovers.write(idOf("other"), record);
  const { plan } = await it.install(["ConfigMap/b"], { name: "web" });
  assert(plan.file!.path !== `${manifests}/web.yaml`);
  assertEquals(it.site.objects(), ["ConfigMap/default/a", "ConfigMap/default/b"]);
});
