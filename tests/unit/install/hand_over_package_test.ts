import {
  type HandOverOptions,
  handOverPackage,
  isPackageHandedOver,
  planHandover,
  readHandedOver,
} from "../../../lib/install/hand_over_package.ts";
import { FolderHandover } from "../../../lib/install/handover/folder_handover.ts";
import type {
  Handover,
  HandoverPlan,
  HandoverRequest,
  HandoverResult,
} from "../../../lib/install/handover/handover.ts";
import { handedOverObjects } from "../../../lib/install/handover/handover_records.ts";
import { labelsOf, planObjects } from "../../../lib/install/handover/plan_objects.ts";
import { PackageRecords } from "../../../lib/install/package_records.ts";
import type { KubePkg } from "../../../lib/kubepkg/kubepkg.ts";
import { packageObjects } from "../../../lib/kubepkg/package_objects.ts";
import { CorruptError, RefusedError } from "../../../lib/oci/error.ts";
import { assertEquals, assertRejects, assertStringIncludes } from "../../support/assert.ts";
import { makeObject, makeRelease } from "../../support/cluster/folder_site.ts";
import { TestFolder } from "../../support/test_folder.ts";
import { idOf } from "../../support/kubepkg.ts";

const release = (version: string, name = "web", objects = ["ConfigMap/a"]) => {
  return makeRelease(objects.map((label) => makeObject(label, { data: { version } })), { version, name });
};

/** A hand-over like that of kubectl, which only records its calls. */
class RecordedHandover implements Handover {
  readonly calls: string[] = [];
  failure: Error | undefined;
  remaining: readonly string[] | undefined;
  place = () => Promise.resolve({ kubectl: true } as const);
  prepare = () => Promise.resolve();
  isHandedOver = () => Promise.resolve(true);
  plan(request: HandoverRequest): Promise<HandoverPlan> {
    const { before, others, areOthersKnown, pruneData, isRemoval } = request;
    const objects = isRemoval ? [] : packageObjects(request.package);
    const changes = planObjects({
      before: handedOverObjects(before),
      after: objects,
      others,
      areOthersKnown,
      pruneData,
    });
    return Promise.resolve({ request, objects, changes, revision: before?.revision ?? 0 });
  }
  apply({ request: { before, package: kubepkg }, changes }: HandoverPlan): Promise<HandoverResult> {
    this.calls.push(`${before?.kubepkg?.spec.version} → ${kubepkg.spec.version}, deletes ${labelsOf(changes.deleted)}`);
    if (this.failure !== undefined) return Promise.reject(this.failure);
    const { remaining } = this;
    return Promise.resolve({ where: "", isConfirmed: true, ...(remaining === undefined ? {} : { remaining }) });
  }
}

async function createSite() {
  const folder = await TestFolder.create();
  const root = await Deno.realPath(folder.path);
  const records = new PackageRecords(`${root}/data`);
  for (const name of ["a", "b"]) await Deno.mkdir(`${root}/${name}`);
  const [a, b] = [new FolderHandover(`${root}/a`), new FolderHandover(`${root}/b`)];
  const hand = async (handover: Handover, kubepkg: KubePkg, options: Partial<HandOverOptions> = {}) =>
    await handOverPackage(kubepkg, { handover, records, ...options });
  return { folder, root, records, a, b, hand, [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose]() };
}

Deno.test("handOverPackage() goes by the release that was handed over before, not by the installed one", async () => {
  await using site = await createSite();
  const handover = new RecordedHandover();
  await site.hand(handover, release("1.0.0", "web", ["ConfigMap/a"]));
  await site.records.write(release("2.0.0", "web", ["ConfigMap/b"]));
  await site.hand(handover, release("3.0.0", "web", ["ConfigMap/c"]));
  assertEquals(handover.calls, ["undefined → 1.0.0, deletes ", "1.0.0 → 3.0.0, deletes ConfigMap/default/a"]);
  assertEquals((await site.records.handovers.read(idOf("web")))?.place, { kubectl: true });
});

Deno.test("[78] objects of hand-overs that failed are deleted by the next one that succeeds", async () => {
  await using site = await createSite();
  const handover = new RecordedHandover();
  await site.hand(handover, release("1.0.0", "web", ["ConfigMap/a"]));
  handover.failure = new Error("no");
  for (const [version, label] of [["2.0.0", "ConfigMap/b"], ["3.0.0", "ConfigMap/c"]] as const) {
    await assertRejects(() => site.hand(handover, release(version, "web", ["ConfigMap/a", label])), Error, "no");
  }
  const failed = await site.records.handovers.read(idOf("web"));
  assertEquals([failed?.kubepkg?.spec.version, failed?.attempted?.spec.version], ["1.0.0", "3.0.0"]);
  assertEquals(await isPackageHandedOver(release("3.0.0"), { handover, records: site.records }), false);
  handover.failure = undefined;
  await site.hand(handover, release("4.0.0", "web", ["ConfigMap/a"]));
  assertEquals(handover.calls.at(-1), "1.0.0 → 4.0.0, deletes ConfigMap/default/b,ConfigMap/default/c");
  const { attempted, kept } = (await site.records.handovers.read(idOf("web")))!;
  assertEquals([attempted, kept], [undefined, []]);
});

Deno.test("[78] objects of a first hand-over that failed are deleted by the next one", async () => {
  await using site = await createSite();
  const handover = new RecordedHandover();
  handover.failure = new Error("no");
  await assertRejects(() => site.hand(handover, release("1.0.0", "web", ["ConfigMap/a", "ConfigMap/z"])), Error, "no");
  handover.failure = undefined;
  const { plan } = await site.hand(handover, release("1.0.1", "web", ["ConfigMap/a"]));
  assertEquals(labelsOf(plan.changes.deleted), ["ConfigMap/default/z"]);
});

Deno.test("[78] an object that was seen to stay is deleted again by the next hand-over", async () => {
  await using site = await createSite();
  const handover = new RecordedHandover();
  await site.hand(handover, release("1.0.0", "web", ["ConfigMap/a", "ConfigMap/z"]));
  handover.remaining = ["ConfigMap/default/z"];
  await site.hand(handover, release("1.1.0"));
  handover.remaining = undefined;
  await site.hand(handover, release("1.2.0"));
  await site.hand(handover, release("1.3.0"));
  assertEquals(handover.calls.slice(-2), ["1.1.0 → 1.2.0, deletes ConfigMap/default/z", "1.2.0 → 1.3.0, deletes "]);
});

Deno.test("[77] data that was kept is known to later hand-overs, and goes with consent or comes back", async () => {
  await using site = await createSite();
  const handover = new RecordedHandover();
  const data = "PersistentVolumeClaim/db";
  await site.hand(handover, release("1.0.0", "web", ["ConfigMap/a", data]));
  for (const version of ["1.1.0", "1.2.0"]) {
    const { plan } = await site.hand(handover, release(version));
    assertEquals(plan.changes.kept.map(({ reason }) => reason), ["data"]);
  }
  const { plan: back } = await site.hand(handover, release("1.3.0", "web", ["ConfigMap/a", data]));
  assertEquals([back.changes.kept, back.changes.added], [[], []]);
  await site.hand(handover, release("1.4.0"));
  const { plan } = await site.hand(handover, release("1.5.0"), { pruneData: true });
  assertEquals(labelsOf(plan.changes.deleted), ["PersistentVolumeClaim/default/db"]);
  assertEquals((await site.records.handovers.read(idOf("web")))?.kept, []);
});

Deno.test("handOverPackage() to another folder keeps the file in the previous one, notes it, and can go back", async () => {
  await using site = await createSite();
  assertEquals((await site.hand(site.a, release("1.0.0"))).result.note, undefined);
  const { note } = (await site.hand(site.b, release("1.1.0"))).result;
  assertStringIncludes(note ?? "", "/a/web.yaml has an earlier hand-over (1.0.0); remove it if the same cluster");
  assertEquals((await site.hand(site.b, release("1.2.0"))).result.note, undefined);
  const back = await site.hand(site.a, release("1.3.0"));
  assertStringIncludes(back.result.note ?? "", "/b/web.yaml has an earlier hand-over (1.2.0)");
  assertEquals([await site.folder.listFiles("a"), await site.folder.listFiles("b")], [["web.yaml"], ["web.yaml"]]);
});

Deno.test("[77] handOverPackage() to kubectl removes only the package's file, and none that was changed by hand", async () => {
  await using site = await createSite();
  for (const name of ["web", "other"]) await site.hand(site.a, release("1.0.0", name));
  const kubectl = new RecordedHandover();
  assertStringIncludes((await site.hand(kubectl, release("1.1.0"))).result.note ?? "", "/a/web.yaml is removed");
  assertEquals(await site.folder.listFiles("a"), ["other.yaml"]);
  await site.folder.write("a/other.yaml", "# mine\n");
  const { note } = (await site.hand(kubectl, release("1.1.0", "other"))).result;
  assertStringIncludes(note ?? "", "/a/other.yaml was changed by hand since an earlier hand-over; remove it if");
  assertEquals(await Deno.readTextFile(`${site.root}/a/other.yaml`), "# mine\n");
});

Deno.test("handOverPackage() to kubectl removes the file that crpe 0.1.0 wrote, and takes no note of one that is gone", async () => {
  await using site = await createSite();
  const write = (name: string, manifestsDir: string) =>
    site.folder.write(
      `data/kubepkg/${name}/handover.json`,
      JSON.stringify({ place: { manifestsDir }, kubepkg: release("1.0.0", name) }),
    );
  await write("web", `${site.root}/a`);
  await write("other", "/nonexistent");
  await site.folder.write("a/web.yaml", "as crpe 0.1.0 wrote it");
  const kubectl = new RecordedHandover();
  assertStringIncludes((await site.hand(kubectl, release("1.1.0"))).result.note ?? "", "/a/web.yaml is removed");
  assertEquals((await site.hand(kubectl, release("1.1.0", "other"))).result.note, undefined);
});

Deno.test("[78] handOverPackage() from kubectl to a folder names what k3s does not delete", async () => {
  await using site = await createSite();
  await site.hand(new RecordedHandover(), release("1.0.0", "web", ["ConfigMap/a", "ConfigMap/z"]));
  const { note } = (await site.hand(site.a, release("1.1.0"))).result;
  assertStringIncludes(note ?? "", "kubectl applied ConfigMap/default/z, which k3s therefore does not delete");
});

Deno.test("isPackageHandedOver() is true only for the recorded place, the same release and the same file", async () => {
  await using site = await createSite();
  const { records, root } = site;
  const kubepkg = release("1.0.0");
  const isIn = (handover: Handover, it = kubepkg) => isPackageHandedOver(it, { handover, records });
  assertEquals(await isIn(site.a), false);
  await site.hand(site.a, kubepkg);
  assertEquals([await isIn(site.a), await isIn(site.a, release("1.1.0")), await isIn(site.b)], [true, false, false]);
  assertEquals(await isIn(new FolderHandover(`${root}/missing`)), false);
  await site.folder.write("a/web.yaml", "# mine\n");
  assertEquals(await isIn(site.a), false);
  await Deno.remove(`${root}/a`, { recursive: true });
  assertEquals(await isIn(site.a), false);
});

for (
  const [criterion, files] of [
    ["the record of its hand-over is not JSON", { "other/handover.json": "{" }],
    ["the record of its hand-over has a manifest that is none", {
      "other/handover.json": JSON.stringify({ place: { kubectl: true }, kubepkg: brokenRelease() }),
    }],
    ["its record is not valid, and there is no other", { "other/current.json": "[]" }],
  ] as const
) {
  Deno.test(`[92] another package does not get in the way when ${criterion}: it is named, and nothing is deleted`, async () => {
    await using site = await createSite();
    const handover = new RecordedHandover();
    await site.hand(handover, release("1.0.0", "web", ["ConfigMap/a", "ConfigMap/z"]));
    for (const [name, text] of Object.entries(files)) await site.folder.write(`data/kubepkg/${name}`, text);
    const { plan, warnings } = await planHandover(release("1.1.0"), { handover, records: site.records });
    assertEquals(warnings.length, 1);
    assertStringIncludes(warnings[0]!, "a record of the package other is not valid");
    assertEquals(plan.changes.kept.map(({ reason }) => reason), ["unknown"]);
    await site.hand(handover, release("1.1.0"));
    await Deno.remove(`${site.root}/data/kubepkg/other`, { recursive: true });
    // What was kept as unknown is deleted once it is known.
    assertEquals(labelsOf((await site.hand(handover, release("1.2.0"))).plan.changes.deleted), ["ConfigMap/default/z"]);
  });
}

function brokenRelease(): unknown {
  return {
    ...release("1.0.0"),
    spec: { version: "1.0.0", manifests: { a: { apiVersion: "v1", kind: "List", items: [5] } } },
  };
}

Deno.test("[77] objects and files of another package's first hand-over that failed are seen", async () => {
  await using site = await createSite();
  const other = {
    place: { manifestsDir: `${site.root}/a` },
    attempted: release("1.0.0", "other"),
    files: [{ path: `${site.root}/a/web.yaml` }],
  };
  await site.records.handovers.write(idOf("other"), other);
  const { plan } = await planHandover(release("1.0.0"), { handover: site.a, records: site.records });
  assertEquals(labelsOf(plan.request.others), ["ConfigMap/default/a"]);
  assertEquals(/\/a\/web-[0-9a-f]{10}\.yaml$/.test(plan.file!.path), true);
});

Deno.test("[92] a package's own record that is not valid is an error which says the way out; force goes by the installed release", async () => {
  await using site = await createSite();
  const { records } = site;
  await records.write(release("1.0.0", "web", ["PersistentVolumeClaim/db"]));
  await site.hand(site.a, release("1.0.0", "web", ["PersistentVolumeClaim/db"]));
  await site.folder.write("data/kubepkg/web/handover.json", "{}");
  const error = await assertRejects(() => site.hand(site.a, release("1.1.0")), CorruptError);
  assertStringIncludes(error.message, "web/handover.json");
  assertStringIncludes(error.message, "import the package again with --force");
  assertEquals(await readHandedOver(idOf("web"), { records, force: true }), "lost");
  const { plan } = await site.hand(site.a, release("1.1.0"), { force: true });
  assertEquals(plan.changes.kept.map(({ reason }) => reason), ["data"]);
  assertEquals((await records.handovers.read(idOf("web")))?.kubepkg?.spec.version, "1.1.0");
});

Deno.test("[38] a file that a concurrent import writes while a plan is made is not taken for a foreign one", async () => {
  await using site = await createSite();
  let isFirst = true;
  const racing: Handover = {
    place: () => site.a.place(),
    prepare: () => site.a.prepare(),
    isHandedOver: (plan) => site.a.isHandedOver(plan),
    apply: (plan) => site.a.apply(plan),
    async plan(request) {
      if (isFirst) await site.hand(site.a, release("1.0.0"));
      isFirst = false;
      return await site.a.plan(request);
    },
  };
  const { plan } = await planHandover(release("2.0.0"), { handover: racing, records: site.records });
  assertEquals([plan.refusal, plan.request.before?.kubepkg?.spec.version], [undefined, "1.0.0"]);
});

Deno.test("[26] the record names the new content before the file has it, and a refusal leaves both as they are", async () => {
  await using site = await createSite();
  await site.hand(site.a, release("1.0.0"));
  const seen: unknown[] = [];
  const cut: Handover = {
    place: () => site.a.place(),
    prepare: () => site.a.prepare(),
    isHandedOver: (plan) => site.a.isHandedOver(plan),
    plan: (request) => site.a.plan(request),
    async apply({ file }) {
      const { files, attempted } = (await site.records.handovers.read(idOf("web")))!;
      seen.push(files[0]!.digests!.length, files[0]!.digests!.at(-1) === file!.digest, attempted?.spec.version);
      throw new Error("interrupted");
    },
  };
  await assertRejects(() => site.hand(cut, release("1.1.0")), Error, "interrupted");
  assertEquals(seen, [2, true, "1.1.0"]);
  await site.folder.write("a/web.yaml", "# mine\n");
  const record = await Deno.readTextFile(`${site.root}/data/kubepkg/web/handover.json`);
  await assertRejects(() => site.hand(site.a, release("1.1.0")), RefusedError, "changed by hand");
  assertEquals(await Deno.readTextFile(`${site.root}/data/kubepkg/web/handover.json`), record);
  assertEquals(await Deno.readTextFile(`${site.root}/a/web.yaml`), "# mine\n");
});
