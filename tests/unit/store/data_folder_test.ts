import { FolderInUseError, sweepIngest, takeDataFolder } from "../../../lib/store/data_folder.ts";
import { partialPath } from "../../../lib/store/layout.ts";
import { DiskStore } from "../../../lib/store/disk_store.ts";
import { verifyStore } from "../../../lib/store/verify_store.ts";
import { checkFolder } from "../../../lib/files/durable.ts";
import { CrpeError } from "../../../lib/oci/error.ts";
import { assertEquals, assertRejects, assertThrows } from "../../support/assert.ts";
import { makeBlob, makeManifest, streamOf, UNKNOWN_DIGEST } from "../../support/content.ts";
import { copyFolder } from "../../support/copy_folder.ts";
import { MEMORY_FOLDER } from "../../support/test_folder.ts";

Deno.test("takeDataFolder() refuses a folder that is already being served", async () => {
  const root = await Deno.makeTempDir({ dir: MEMORY_FOLDER });
  {
    using _first = await takeDataFolder(root);
    await assertRejects(() => takeDataFolder(root), FolderInUseError, "another crpe is serving it");
  }
  using _again = await takeDataFolder(root);
  await Deno.remove(root, { recursive: true });
});

Deno.test("[109] a served data folder that is moved away, or replaced, is not made again", async () => {
  const parent = await Deno.makeTempDir({ dir: MEMORY_FOLDER });
  const [root, aside] = [`${parent}/data`, `${parent}/aside`];
  const blob = makeBlob(10);
  const write = () => new DiskStore(root).writeBlob("a.b/c", blob.descriptor, streamOf(blob.bytes));
  const reason = `Cannot use ${root}: it was moved, removed or unmounted while crpe is running`;
  {
    using _served = await takeDataFolder(root);
    await Deno.rename(root, aside);
    await assertRejects(write, CrpeError, reason);
    assertThrows(() => checkFolder(root), CrpeError, reason);
    await assertRejects(() => Deno.stat(root), Deno.errors.NotFound);
    // As the mount point of a disk that was unmounted.
    await Deno.mkdir(root);
    await assertRejects(write, CrpeError, reason);
    assertEquals(await Array.fromAsync(Deno.readDir(root)), []);
    await Deno.remove(root);
    await Deno.rename(aside, root);
    await write();
    checkFolder(root);
    await Deno.rename(root, aside);
  }
  await write();
  await Deno.remove(parent, { recursive: true });
});

// A copy has another file number, as a disk that is mounted again may have another device number.
const COPIES: readonly (readonly [what: string, change: (lock: string) => Promise<Disposable>, isBack: boolean])[] = [
  ["is back elsewhere", () => Promise.resolve({ [Symbol.dispose]() {} }), true],
  ["is another one", async (lock) => {
    await Deno.writeTextFile(lock, crypto.randomUUID());
    return { [Symbol.dispose]() {} };
  }, false],
  ["was never served", async (lock) => {
    await Deno.writeTextFile(lock, "");
    return { [Symbol.dispose]() {} };
  }, false],
  ["is served by another process meanwhile", async (lock) => {
    const file = await Deno.open(lock, { write: true });
    await file.lock(true);
    return file;
  }, false],
];
for (const [what, change, isBack] of COPIES) {
  Deno.test(`[109] a served data folder that ${what}: crpe ${isBack ? "locks it again, and goes on" : "leaves it alone"}`, async () => {
    const parent = await Deno.makeTempDir({ dir: MEMORY_FOLDER });
    const [root, aside] = [`${parent}/data`, `${parent}/aside`];
    const blob = makeBlob(10);
    {
      using _served = await takeDataFolder(root);
      await Deno.rename(root, aside);
      await copyFolder(aside, root);
      using _other = await change(`${root}/ingest/serving.lock`);
      const written = new DiskStore(root).writeBlob("a.b/c", blob.descriptor, streamOf(blob.bytes));
      if (isBack) {
        await written;
        await assertRejects(() => takeDataFolder(root), FolderInUseError);
      } else await assertRejects(() => written, CrpeError, `Cannot use ${root}: it was moved, removed or unmounted`);
    }
    using _again = await takeDataFolder(root);
    await Deno.remove(parent, { recursive: true });
  });
}

// The error messages of Deno on Linux.
const NO_LOCKS: readonly (readonly [message: string, isBack: boolean])[] = [
  ["Function not implemented (os error 38)", true],
  ["Operation not supported (os error 95)", true],
  ["No locks available (os error 37)", false],
];
for (const [message, isBack] of NO_LOCKS) {
  Deno.test({
    name: `[109] a served data folder is back elsewhere, where a lock fails with "${message}": crpe ${
      isBack ? "goes on" : "leaves it alone"
    }`,
    ignore: Deno.build.os !== "linux",
    fn: async () => {
      const parent = await Deno.makeTempDir({ dir: MEMORY_FOLDER });
      const [root, aside] = [`${parent}/data`, `${parent}/aside`];
      const files = Deno.FsFile.prototype;
      const { tryLock, tryLockSync } = files;
      try {
        files.tryLock = () => Promise.reject(new Error("Function not implemented (os error 38)"));
        files.tryLockSync = () => {
          throw new Error(message);
        };
        using _served = await takeDataFolder(root);
        await Deno.rename(root, aside);
        await copyFolder(aside, root);
        const reason = `Cannot use ${root}: it was moved, removed or unmounted`;
        if (isBack) checkFolder(root);
        else assertThrows(() => checkFolder(root), CrpeError, reason);
      } finally {
        Object.assign(files, { tryLock, tryLockSync });
        await Deno.remove(parent, { recursive: true });
      }
    },
  });
}

Deno.test("[27] takeDataFolder() removes stale temporary files, and keeps locked files and partial files", async () => {
  const root = await Deno.makeTempDir({ dir: MEMORY_FOLDER });
  const store = new DiskStore(root);
  const blob = makeBlob(10);
  await store.writeBlob("a.b/c", blob.descriptor, streamOf(blob.bytes));
  const partialOf = (digest: string) => `${digest.replace(":", "-")}.partial`;
  const files = ["stale.tmp", "used.tmp", partialOf(UNKNOWN_DIGEST), partialOf(blob.descriptor.digest), "other.txt"];
  for (const name of files) await Deno.writeTextFile(`${root}/ingest/${name}`, "x");
  {
    using used = await Deno.open(`${root}/ingest/used.tmp`, { write: true });
    await used.lock(true);
    using _folder = await takeDataFolder(root);
  }
  const left = (await Array.fromAsync(Deno.readDir(`${root}/ingest`))).map(({ name }) => name).sort();
  assertEquals(left, ["other.txt", "serving.lock", partialOf(UNKNOWN_DIGEST), "used.tmp", "writers.lock"].sort());
  await Deno.remove(root, { recursive: true });
});

Deno.test("[94] sweepIngest() removes the partial file of a missing blob after two weeks, unless it is in use", async () => {
  const root = await Deno.makeTempDir({ dir: MEMORY_FOLDER });
  await Deno.mkdir(`${root}/ingest`);
  const digestOf = (digit: string) => `sha256-${digit.repeat(64)}.partial`;
  const [recent, old, used] = ["1", "2", "3"].map(digestOf);
  const age = new Date(Date.now() - 15 * 24 * 60 * 60 * 1000);
  for (const name of [recent, old, used]) {
    await Deno.writeTextFile(`${root}/ingest/${name}`, "x");
    if (name !== recent) await Deno.utime(`${root}/ingest/${name}`, age, age);
  }
  {
    using file = await Deno.open(`${root}/ingest/${used}`, { write: true });
    await file.lock(true);
    await sweepIngest(root, { minAge: 0 });
  }
  assertEquals((await Array.fromAsync(Deno.readDir(`${root}/ingest`))).map(({ name }) => name).sort(), [recent, used]);
  await Deno.remove(root, { recursive: true });
});

Deno.test("[29] verifyStore() reports a corrupt blob and the images that need it", async () => {
  const root = await Deno.makeTempDir({ dir: MEMORY_FOLDER });
  const store = new DiskStore(root);
  const [good, bad] = [makeBlob(1000, 1), makeBlob(2000, 2)];
  const manifest = makeManifest(good, [bad]);
  for (const blob of [good, bad]) await store.writeBlob("a.b/c", blob.descriptor, streamOf(blob.bytes));
  await store.writeManifest("a.b/c", manifest.descriptor, manifest.bytes);
  await store.tag("a.b/c", "1", manifest.descriptor.digest);
  assertEquals((await verifyStore(root, store)).broken, []);

  const hex = bad.descriptor.digest.slice(7);
  const path = `docker/registry/v2/blobs/sha256/${hex.slice(0, 2)}/${hex}/data`;
  const rotten = bad.bytes.slice();
  rotten[1999]! ^= 0x80;
  await Deno.writeFile(`${root}/${path}`, rotten);
  const report = await verifyStore(root, store);
  assertEquals(report.blobs, 3);
  assertEquals(report.broken, [{
    digest: bad.descriptor.digest,
    path,
    reason: "its content does not match its digest",
    images: ["a.b/c:1"],
    uses: [{ repository: "a.b/c", size: 2000, isManifest: false }],
  }]);
  await Deno.remove(root, { recursive: true });
});

Deno.test("verifyStore() reports required blobs that are missing", async () => {
  const root = await Deno.makeTempDir({ dir: MEMORY_FOLDER });
  const store = new DiskStore(root);
  const [here, gone] = [makeBlob(1000, 1), makeBlob(2000, 2)];
  await store.writeBlob("a.b/c", here.descriptor, streamOf(here.bytes));
  const required = [here, gone].map(({ descriptor }) => ({ ...descriptor, image: "a.b/c:1" }));
  const { broken, unread } = await verifyStore(root, store, { required });
  assertEquals(unread, []);
  assertEquals(broken.map(({ digest, images, reason }) => ({ digest, images, reason })), [
    { digest: gone.descriptor.digest, images: ["a.b/c:1"], reason: "it is missing, or its size is wrong" },
  ]);
  await Deno.remove(root, { recursive: true });
});

Deno.test("[109] a blob whose file is a copy by now, because the served folder was replaced by its copy, is not stored", async () => {
  const parent = await Deno.makeTempDir({ dir: MEMORY_FOLDER });
  const [root, copy, aside] = [`${parent}/data`, `${parent}/copy`, `${parent}/aside`];
  const { descriptor: { digest }, bytes } = makeBlob(60_000);
  {
    using _served = await takeDataFolder(root);
    const store = new DiskStore(root);
    const ingest = await store.openIngest(digest, "a.b/c");
    await ingest.write(bytes.slice(0, 20_000));
    await copyFolder(root, copy);
    await ingest.write(bytes.slice(20_000));
    await Deno.rename(root, aside);
    await Deno.rename(copy, root);
    await assertRejects(() => ingest.commit(), CrpeError, "is no longer in the data folder");
    assertEquals(await store.statBlob("", digest), undefined);
    // The copy can be resumed.
    assertEquals((await Deno.stat(`${root}/${partialPath(digest, "a.b/c")}`)).size, 20_000);
  }
  await Deno.remove(parent, { recursive: true });
});
