import { takeDataFolder } from "../../../lib/store/data_folder.ts";
import { announceChange, readChangeStamp, takeWriteLease, tryKeepWritersOut } from "../../../lib/store/write_lease.ts";
import { assert, assertEquals, assertNotEquals, assertRejects } from "../../support/assert.ts";
import { TestFolder } from "../../support/test_folder.ts";

Deno.test("takeWriteLease() lets other writers in, and keeps a collector out until the last has gone", async () => {
  await using folder = await TestFolder.create();
  const [first, second] = [await takeWriteLease(folder.path), await takeWriteLease(folder.path)];
  assertEquals(await tryKeepWritersOut(folder.path), undefined);
  first[Symbol.dispose]();
  assertEquals(await tryKeepWritersOut(folder.path), undefined);
  second[Symbol.dispose]();
  using alone = await tryKeepWritersOut(folder.path);
  assert(alone !== undefined);
});

Deno.test("takeWriteLease() waits for the end of a collection", async () => {
  await using folder = await TestFolder.create();
  const alone = await tryKeepWritersOut(folder.path);
  let isTaken = false;
  const waiting = takeWriteLease(folder.path).then((lease) => {
    isTaken = true;
    return lease;
  });
  await new Promise((resolve) => setTimeout(resolve, 50));
  assertEquals(isTaken, false);
  alone![Symbol.dispose]();
  using _lease = await waiting;
  assertEquals(await tryKeepWritersOut(folder.path), undefined);
});

Deno.test("tryKeepWritersOut() is for one alone", async () => {
  await using folder = await TestFolder.create();
  {
    using _first = await tryKeepWritersOut(folder.path);
    assertEquals(await tryKeepWritersOut(folder.path), undefined);
  }
  using second = await tryKeepWritersOut(folder.path);
  assert(second !== undefined);
});

Deno.test("a server that starts does not touch what a running collection has moved aside, and restores what a dead one left", async () => {
  await using folder = await TestFolder.create();
  await folder.write("ingest/trash/docker/registry/v2/blobs/sha256/ab/abcd/data", "x");
  {
    using _collection = await tryKeepWritersOut(folder.path);
    using _server = await takeDataFolder(folder.path);
    assertEquals(await folder.listFiles("docker"), []);
  }
  using _server = await takeDataFolder(folder.path);
  assertEquals(await folder.listFiles("docker"), ["registry/v2/blobs/sha256/ab/abcd/data"]);
  assertEquals(await folder.listFiles("ingest"), ["serving.lock", "writers.lock"]);
});

Deno.test("readChangeStamp() tells that there was a writer, or a collection", async () => {
  await using folder = await TestFolder.create();
  assertEquals(await readChangeStamp(folder.path), 0);
  (await takeWriteLease(folder.path))[Symbol.dispose]();
  const lock = `${folder.path}/ingest/writers.lock`;
  for (const change of [announceChange, async (root: string) => (await takeWriteLease(root))[Symbol.dispose]()]) {
    // Set back, so that it does not matter how fine the file system's clock is.
    await Deno.utime(lock, 1000, 1000);
    const before = await readChangeStamp(folder.path);
    await change(folder.path);
    assertNotEquals(await readChangeStamp(folder.path), before);
  }
  await Deno.utime(lock, 1000, 1000);
  (await tryKeepWritersOut(folder.path))![Symbol.dispose]();
  assertEquals(await readChangeStamp(folder.path), 1_000_000);
});

for (
  const [what, prepare] of [
    ["a file where the folder should be", (folder: TestFolder) => folder.write("data", "x")],
    ["a file where a folder in it should be", (folder: TestFolder) => folder.write("data/ingest", "x")],
  ] as const
) {
  Deno.test(`takeWriteLease() is not in the way of who will fail for ${what}`, async () => {
    await using folder = await TestFolder.create();
    await prepare(folder);
    (await takeWriteLease(`${folder.path}/data`))[Symbol.dispose]();
    await assertRejects(() => tryKeepWritersOut(`${folder.path}/data`));
  });
}

Deno.test("[33] takeWriteLease() is not in the way where nothing can be written", async () => {
  // The kernel's own file system: read-only for everybody, root too.
  (await takeWriteLease("/proc/sys"))[Symbol.dispose]();
});
