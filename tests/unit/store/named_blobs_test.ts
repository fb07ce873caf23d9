import type { Digest } from "../../../lib/oci/digest.ts";
import { parseManifest } from "../../../lib/oci/manifest.ts";
import { DiskStore } from "../../../lib/store/disk_store.ts";
import { revisionsPath } from "../../../lib/store/layout.ts";
import { NamedBlobs } from "../../../lib/store/named_blobs.ts";
import { assertEquals } from "../../support/assert.ts";
import { type Content, makeBlob, makeManifest } from "../../support/content.ts";
import { TestFolder } from "../../support/test_folder.ts";

const REPO = "registry.example/team/app";
const CHANGED = 1_700_000_000_000;
const [config, one, two] = [makeBlob(100, 1), makeBlob(200, 2), makeBlob(300, 3)];
const [first, second] = [makeManifest(config, [one]), makeManifest(config, [two])];

/** Opens the names of a repository. `add` adds a manifest, and leaves the time stamp of the folder as it was. */
async function openNames(now: number) {
  const folder = await TestFolder.create();
  const store = new DiskStore(folder.path);
  const add = async ({ descriptor, bytes }: Content) => {
    await store.writeManifest(REPO, descriptor, bytes);
    await Deno.utime(`${folder.path}/${revisionsPath(REPO)}/sha256`, new Date(CHANGED), new Date(CHANGED));
  };
  const it = { reads: 0, beforeRead: () => Promise.resolve() };
  const names = new NamedBlobs({
    root: folder.path,
    now: () => now,
    read: async (repo: string, digest: Digest) => {
      it.reads++;
      await it.beforeRead();
      const bytes = await store.readManifest(repo, digest);
      return bytes && { manifest: parseManifest(bytes), isFetched: false };
    },
  });
  await add(first);
  return { ...{ it, names, add, root: folder.path }, [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose]() };
}

/** [how long ago the folder has changed, in milliseconds, whether its names are read again, manifests read] */
const ages: [number, boolean, number][] = [[0, true, 3], [999, true, 3], [60_000, false, 1]];
for (const [age, isFresh, reads] of ages) {
  const found = isFresh ? "sees" : "need not see";
  Deno.test(`[74] NamedBlobs ${found} a manifest added within the resolution of a stamp of ${age} ms ago`, async () => {
    await using opened = await openNames(CHANGED + age);
    const { it, names, add } = opened;
    assertEquals([await names.has(REPO, one.descriptor.digest), await names.has(REPO, two.descriptor.digest)], [
      true,
      false,
    ]);
    it.reads = isFresh ? 0 : it.reads;
    await add(second);
    assertEquals(await names.has(REPO, two.descriptor.digest), isFresh);
    assertEquals(it.reads, isFresh ? reads - 1 : reads);
  });
}

Deno.test("[74] NamedBlobs does not take the names of a scan that began before a change", async () => {
  await using opened = await openNames(CHANGED + 60_000);
  const { it, names, add } = opened;
  const gate = Promise.withResolvers<void>();
  it.beforeRead = () => gate.promise;
  const before = names.has(REPO, two.descriptor.digest);
  while (it.reads === 0) await new Promise((resolve) => setTimeout(resolve, 1));
  it.beforeRead = () => Promise.resolve();
  await add(second);
  // The stamp shows this change.
  await Deno.utime(`${opened.root}/${revisionsPath(REPO)}/sha256`, new Date(CHANGED + 1), new Date(CHANGED + 1));
  const after = names.has(REPO, two.descriptor.digest);
  gate.resolve();
  assertEquals([await before, await after, await names.has(REPO, two.descriptor.digest)], [false, true, true]);
});
