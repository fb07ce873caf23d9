import { takeDataFolder } from "../../../lib/store/data_folder.ts";
import { announceChange, readChangeStamp, takeWriteLease, tryExcludeWriters } from "../../../lib/store/write_lease.ts";
import { assert, assertEquals, assertNotEquals, assertRejects } from "../../support/assert.ts";
import { TestFolder } from "../../support/test_folder.ts";

Deno.test("takeWriteLease() admits other writers, and excludes a collection until the last lease ends", async () => {
  await using folder = await TestFolder.create();
  const [first, second] = [await takeWriteLease(folder.path), await takeWriteLease(folder.path)];
  assertEquals(await tryExcludeWriters(folder.path), undefined);
  first[Symbol.dispose]();
  assertEquals(await tryExcludeWriters(folder.path), undefined);
  second[Symbol.dispose]();
  using exclusion = await tryExcludeWriters(folder.path);
  assert(exclusion !== undefined);
});

Deno.test("takeWriteLease() waits until a collection has finished", async () => {
  await using folder = await TestFolder.create();
  const exclusion = await tryExcludeWriters(folder.path);
  let isTaken = false;
  const waiting = takeWriteLease(folder.path).then((lease) => {
    isTaken = true;
    return lease;
  });
  await new Promise((resolve) => setTimeout(resolve, 50));
  assertEquals(isTaken, false);
  exclusion![Symbol.dispose]();
  using _lease = await waiting;
  assertEquals(await tryExcludeWriters(folder.path), undefined);
});

Deno.test("tryExcludeWriters() succeeds for only one caller at a time", async () => {
  await using folder = await TestFolder.create();
  {
    using _first = await tryExcludeWriters(folder.path);
    assertEquals(await tryExcludeWriters(folder.path), undefined);
  }
  using second = await tryExcludeWriters(folder.path);
  assert(second !== undefined);
});

Deno.test("takeDataFolder() restores the trash of an interrupted collection, not of one in progress", async () => {
  await using folder = await TestFolder.create();
  await folder.write("ingest/trash/docker/registry/v2/blobs/sha256/ab/abcd/data", "x");
  {
    using _collection = await tryExcludeWriters(folder.path);
    using _server = await takeDataFolder(folder.path);
    assertEquals(await folder.listFiles("docker"), []);
  }
  using _server = await takeDataFolder(folder.path);
  assertEquals(await folder.listFiles("docker"), ["registry/v2/blobs/sha256/ab/abcd/data"]);
  assertEquals(await folder.listFiles("ingest"), ["serving.lock", "writers.lock"]);
});

Deno.test("readChangeStamp() changes after every lease and every collection", async () => {
  await using folder = await TestFolder.create();
  assertEquals(await readChangeStamp(folder.path), 0);
  (await takeWriteLease(folder.path))[Symbol.dispose]();
  const lock = `${folder.path}/ingest/writers.lock`;
  for (const change of [announceChange, async (root: string) => (await takeWriteLease(root))[Symbol.dispose]()]) {
    // Set to the past, so that the resolution of the file system's time stamps does not matter.
    await Deno.utime(lock, 1000, 1000);
    const before = await readChangeStamp(folder.path);
    await change(folder.path);
    assertNotEquals(await readChangeStamp(folder.path), before);
  }
  await Deno.utime(lock, 1000, 1000);
  (await tryExcludeWriters(folder.path))![Symbol.dispose]();
  assertEquals(await readChangeStamp(folder.path), 1_000_000);
});

for (
  const [what, prepare] of [
    ["the data folder is a file", (folder: TestFolder) => folder.write("data", "x")],
    ["the ingest folder is a file", (folder: TestFolder) => folder.write("data/ingest", "x")],
  ] as const
) {
  Deno.test(`takeWriteLease() does not fail when ${what}`, async () => {
    await using folder = await TestFolder.create();
    await prepare(folder);
    (await takeWriteLease(`${folder.path}/data`))[Symbol.dispose]();
    await assertRejects(() => tryExcludeWriters(`${folder.path}/data`));
  });
}

Deno.test("[33] takeWriteLease() does not fail on a read-only file system", async () => {
  // A file system of the kernel, which is read-only even for root.
  (await takeWriteLease("/proc/sys"))[Symbol.dispose]();
});
