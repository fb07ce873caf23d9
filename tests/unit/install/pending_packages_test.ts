import { CacheLimit } from "../../../lib/cache/cache_limit.ts";
import { collectPackageDigests } from "../../../lib/install/package_digests.ts";
import { PackageRecords } from "../../../lib/install/package_records.ts";
import type { PendingPackage } from "../../../lib/install/pending_packages.ts";
import { parseKubePkg } from "../../../lib/kubepkg/parse_kubepkg.ts";
import { DiskStore } from "../../../lib/store/disk_store.ts";
import { collectGarbage } from "../../../lib/store/gc.ts";
import { CorruptError } from "../../../lib/oci/error.ts";
import { assert, assertEquals, assertStringIncludes } from "../../support/assert.ts";
import { makeBlob, streamOf } from "../../support/content.ts";
import { idOf, makeKubePkg } from "../../support/kubepkg.ts";
import { TestFolder } from "../../support/test_folder.ts";
import { listPending } from "../../support/list_pending.ts";

const REPO = "registry.test/app";
const [OURS, ALIEN] = [makeBlob(2000, 1), makeBlob(3000, 2)];
const { digest: DIGEST, size: SIZE } = OURS.descriptor;

function makePending(name = "line4", version = "1.0.0"): PendingPackage {
  const kubepkg = parseKubePkg({
    ...makeKubePkg({}, { name, version }),
    status: { digests: [{ type: "blob", name: REPO, digest: DIGEST, size: SIZE }] },
  });
  return { kubepkg, part: { id: ALIEN.descriptor.digest, count: 3, received: [1, 3] } };
}

Deno.test("PendingPackages lists the records that were written, sorted by name", async () => {
  await using folder = await TestFolder.create();
  const pending = new PackageRecords(folder.path).pending;
  assertEquals([await pending.read(idOf("line4")), await listPending(pending)], [undefined, []]);
  const { kubepkg } = makePending("line4");
  await pending.write(makePending("web"));
  await pending.write({ kubepkg });
  assertEquals(await pending.read(idOf("line4")), { kubepkg });
  assertEquals(await listPending(pending), [{ kubepkg }, makePending("web")]);
  await pending.write(makePending("line4", "2.0.0"));
  assertEquals((await pending.read(idOf("line4")))?.kubepkg.spec.version, "2.0.0");
  assertEquals(await folder.listFiles(), ["kubepkg/line4/pending.json", "kubepkg/web/pending.json"]);
  await pending.remove(idOf("line4"));
  await pending.remove(idOf("line4"));
  assertEquals(await listPending(pending), [makePending("web")]);
});

Deno.test("PendingPackages names a record that is not valid", async () => {
  const { kubepkg, part } = makePending();
  const broken = [
    "{torn",
    "[]",
    JSON.stringify({ part }),
    JSON.stringify({ kubepkg, part: { ...part, received: ["1"] } }),
  ];
  for (const text of broken) {
    await using folder = await TestFolder.create();
    await folder.write("kubepkg/line4/pending.json", text);
    const { problems: [problem] } = await new PackageRecords(folder.path).pending.scan();
    assert(problem instanceof CorruptError);
    assertStringIncludes(problem.message, "kubepkg/line4/pending.json");
    const named: string[] = [];
    await collectPackageDigests(new PackageRecords(folder.path), { onProblem: ({ path }) => named.push(path) });
    assertEquals(named, [`${folder.path}/kubepkg/line4/pending.json`]);
  }
});

Deno.test("a package is not pending any more when it, or another version of it, is installed", async () => {
  await using folder = await TestFolder.create();
  const records = new PackageRecords(folder.path);
  for (const version of ["1.0.0", "2.0.0"]) {
    await records.pending.write(makePending("line4", "1.0.0"));
    await records.pending.write(makePending("web"));
    assertEquals((await records.list()).length, version === "1.0.0" ? 0 : 1);
    await records.write(makePending("line4", version).kubepkg);
    assertEquals((await listPending(records.pending)).map(({ kubepkg }) => kubepkg.metadata.name), ["web"]);
  }
});

Deno.test("PendingPackages.removeRelease() removes that release and keeps another one", async () => {
  await using folder = await TestFolder.create();
  const { pending } = new PackageRecords(folder.path);
  await pending.write(makePending("line4", "2.0.0"));
  await pending.removeRelease(makePending("line4", "1.0.0").kubepkg);
  assertEquals((await listPending(pending)).length, 1);
  await pending.removeRelease({ ...makePending("line4", "2.0.0").kubepkg, status: {} });
  assertEquals(await listPending(pending), []);
  await pending.removeRelease(makePending().kubepkg);
});

Deno.test("[35][39] the content of a pending package is neither collected nor evicted", async () => {
  await using folder = await TestFolder.create();
  const [root, store] = [folder.path, new DiskStore(folder.path)];
  const records = new PackageRecords(root);
  const readKeep = () => collectPackageDigests(records);
  for (const { descriptor, bytes } of [OURS, ALIEN]) await store.writeBlob(REPO, descriptor, streamOf(bytes));
  await records.pending.write(makePending());
  const limit = await CacheLimit.start({
    root,
    store,
    limit: SIZE + 100,
    warn: () => {},
    readKeep,
    isBusy: () => false,
  });
  await limit.close();
  const held = async () => [await store.statBlob(REPO, DIGEST), await store.statBlob(REPO, ALIEN.descriptor.digest)];
  assertEquals(await held(), [SIZE, undefined]);
  await store.writeBlob(REPO, ALIEN.descriptor, streamOf(ALIEN.bytes));
  assertEquals((await collectGarbage(root, { readKeep, untagged: true })).blobs, 1);
  assertEquals(await held(), [SIZE, undefined]);
  await records.pending.remove(idOf("line4"));
  assertEquals((await collectGarbage(root, { readKeep, untagged: true })).blobs, 1);
});
