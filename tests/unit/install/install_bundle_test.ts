import { joinChunks } from "../../../lib/bytes/join_chunks.ts";
import { packBundle } from "../../support/pack_bundle.ts";
import { FolderHandover } from "../../../lib/install/handover/folder_handover.ts";
import { installBundle } from "../../support/install_bundle.ts";
import type { InstallOptions } from "../../../lib/install/installation.ts";
import { PackageRecords } from "../../../lib/install/package_records.ts";
import { parseKubePkg } from "../../../lib/kubepkg/parse_kubepkg.ts";
import { RefusedError } from "../../../lib/oci/error.ts";
import { DiskStore } from "../../../lib/store/disk_store.ts";
import { assert, assertEquals, assertRejects, assertStringIncludes } from "../../support/assert.ts";
import { streamOf } from "../../support/content.ts";
import { buildImage } from "../../support/images.ts";
import { idOf, makeKubePkg } from "../../support/kubepkg.ts";
import { MemoryStore } from "../../support/memory_store.ts";
import { writeImage } from "../../support/put_image.ts";
import { TestFolder } from "../../support/test_folder.ts";

const REPO = "registry.test/app";
const image = buildImage();

async function makeBundle(): Promise<Uint8Array<ArrayBuffer>> {
  const store = new MemoryStore();
  await writeImage(store, `${REPO}:1`, image);
  const parts: Uint8Array[] = [];
  const kubepkg = parseKubePkg(makeKubePkg({ [`${REPO}:1`]: "" }));
  await packBundle(kubepkg, store, { output: { write: (bytes) => void parts.push(bytes.slice()) } });
  return joinChunks(parts);
}
const BUNDLE = await makeBundle();

async function createSite() {
  const folder = await TestFolder.create();
  const data = `${folder.path}/data`;
  const [store, records] = [new DiskStore(data), new PackageRecords(data)];
  await Deno.mkdir(`${folder.path}/manifests`);
  const handover = new FolderHandover(`${folder.path}/manifests`);
  const install = async (options: Partial<InstallOptions> = {}) => {
    return await installBundle(streamOf(BUNDLE), { store, records, handover, ...options });
  };
  return { folder, store, records, install, [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose]() };
}

Deno.test("installBundle() of an installed release restores a missing hand-over file, and writes no record", async () => {
  await using site = await createSite();
  const first = await site.install({ node: "gate-2", now: () => 1000 });
  assert(first.handedOver !== undefined);
  const { where } = first.handedOver;
  const receipt = await site.records.receipts.read(idOf("line4"));
  assertEquals([receipt?.node, receipt?.imported, receipt?.repaired], ["gate-2", "1970-01-01T00:00:01.000Z", false]);
  assertEquals(receipt?.digests.includes(image.root.digest), true);
  const [text, record] = [await Deno.readTextFile(where), await site.records.read(idOf("line4"))];
  const again = await site.install();
  assertEquals([again.isImported, again.handedOver], [false, undefined]);

  await Deno.remove(where);
  const repaired = await site.install();
  assertEquals([repaired.isImported, repaired.plan.isRepair, repaired.handedOver?.where], [true, true, where]);
  assertEquals(repaired.blobs.written, 0);
  assertEquals((await site.records.receipts.read(idOf("line4")))?.repaired, true);
  assertEquals(await Deno.readTextFile(where), text);
  assertEquals([await site.records.read(idOf("line4")), await site.records.listHistory(idOf("line4"))], [record, []]);
});

Deno.test("[77] installBundle() refuses to replace a file that was changed by hand or is foreign, before it writes anything", async () => {
  await using site = await createSite();
  await site.folder.write("manifests/line4.yaml", "# theirs\n");
  const refused = async () => {
    const { plan: { refusal } } = await site.install({ dryRun: true });
    const error = await assertRejects(() => site.install(), RefusedError);
    assertEquals(error.message, refusal?.message);
    return error.message;
  };
  assertStringIncludes(await refused(), "line4.yaml was not written by crpe");
  assertEquals(await site.folder.listFiles(), ["manifests/line4.yaml"]);
  const { handedOver } = await site.install({ force: true });
  const text = await Deno.readTextFile(handedOver!.where);
  await site.folder.write("manifests/line4.yaml", `${text}# mine\n`);
  assertStringIncludes(await refused(), "line4.yaml was changed by hand");
  assertEquals(await Deno.readTextFile(handedOver!.where), `${text}# mine\n`);
  assertEquals((await site.install({ force: true })).isImported, true);
});

Deno.test("[77] installBundle() writes no tag if the folder gets a file of the same stem while the blobs are written", async () => {
  await using site = await createSite();
  const progress: unknown[] = [];
  await assertRejects(
    () =>
      site.install({
        onProgress: () => {
          if (progress.push(0) === 1) Deno.writeTextFileSync(`${site.folder.path}/manifests/line4.yml`, "");
        },
      }),
    RefusedError,
    "line4.yml",
  );
  assertEquals(await site.store.resolve(REPO, "1"), undefined);
  assertEquals(await site.records.list(), []);
});

Deno.test("[92] installBundle() names the broken record of another package, and imports", async () => {
  await using site = await createSite();
  await site.folder.write("data/kubepkg/other/handover.json", "{");
  const { isImported, plan } = await site.install();
  assertEquals([isImported, plan.warnings?.length], [true, 1]);
});

Deno.test("installBundle() does not rewrite an unchanged hand-over file when it repairs the store", async () => {
  await using site = await createSite();
  const { handedOver } = await site.install();
  const before = await Deno.stat(handedOver!.where);
  await Deno.remove(`${site.folder.path}/data/docker/registry/v2/repositories/${REPO}/_manifests/tags`, {
    recursive: true,
  });
  const repaired = await site.install();
  assertEquals([repaired.plan.isRepair, repaired.handedOver?.where], [true, undefined]);
  assertEquals((await Deno.stat(handedOver!.where)).ino, before.ino);
  assertEquals((await site.store.resolve(REPO, "1"))?.digest, image.root.digest);
});

Deno.test("installBundle() fails before it imports anything if the manifests folder is not writable", async () => {
  await using site = await createSite();
  await site.folder.write("file", "");
  for (const there of ["file", "file/deeper"]) {
    const manifestsDir = `${site.folder.path}/${there}`;
    const handover = new FolderHandover(manifestsDir);
    const { message } = await assertRejects(() => site.install({ handover }), Error);
    assertEquals((await site.install({ handover, dryRun: true })).plan.refusal?.message, message);
    assertStringIncludes(message, `Cannot write manifests into ${manifestsDir}: a part of the path is a file`);
    assertEquals(await site.folder.listFiles(), ["file"]);
  }
});

Deno.test("[78] installBundle() into a folder that does not exist fails before it imports anything, also in a dry run", async () => {
  await using site = await createSite();
  const handover = new FolderHandover(`${site.folder.path}/missing`);
  const message = `Cannot write manifests into ${site.folder.path}/missing: the folder does not exist, so no cluster`;
  await assertRejects(() => site.install({ handover }), Error, message);
  assertStringIncludes((await site.install({ handover, dryRun: true })).plan.refusal?.message ?? "", message);
  assertEquals(await site.folder.listFiles(), []);
  // Also where the release is installed already.
  await site.install();
  await assertRejects(() => site.install({ handover }), Error, message);
});

Deno.test("installBundle() leaves only its own file in the manifests folder", async () => {
  await using site = await createSite();
  await site.install();
  assertEquals(await site.folder.listFiles("manifests"), ["line4.yaml"]);
});
