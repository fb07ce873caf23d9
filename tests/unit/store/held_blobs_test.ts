import { DiskStore, type DiskStoreOptions } from "../../../lib/store/disk_store.ts";
import { blobPath } from "../../../lib/store/layout.ts";
import {
  MAX_QUARANTINED,
  MAX_QUARANTINED_BYTES,
  moveToQuarantine,
  quarantinePath,
} from "../../../lib/store/quarantine.ts";
import { assertEquals, assertStringIncludes } from "../../support/assert.ts";
import { type Content, makeBlob, makeManifest, readAll, streamOf } from "../../support/content.ts";
import { TestFolder } from "../../support/test_folder.ts";

const REPO = "registry.example/team/app";
const [config, layer] = [makeBlob(100, 1), makeBlob(300_000, 2)];
const manifest = makeManifest(config, [layer]);
const { digest } = layer.descriptor;

/** Creates a data folder with an image, and a store that has not read anything of it yet. */
async function openStore(options: DiskStoreOptions = {}) {
  const folder = await TestFolder.create();
  const writer = new DiskStore(folder.path);
  for (const { descriptor, bytes } of [config, layer]) await writer.writeBlob(REPO, descriptor, streamOf(bytes));
  await writer.writeManifest(REPO, manifest.descriptor, manifest.bytes);
  await writer.tag(REPO, "1", manifest.descriptor.digest);
  const warnings: string[] = [];
  return {
    root: folder.path,
    store: new DiskStore(folder.path, { ...options, warn: (message) => warnings.push(message) }),
    warnings,
    damage: (bytes: Uint8Array, blob: Content = layer) =>
      Deno.writeFile(`${folder.path}/${blobPath(blob.descriptor.digest)}`, bytes),
    quarantined: async () => (await folder.listFiles("quarantine").catch(() => [])).sort(),
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}

function flip(bytes: Uint8Array): Uint8Array {
  const flipped = bytes.slice();
  flipped[1000]! ^= 1;
  return flipped;
}

const damages: [string, Uint8Array][] = [
  ["shortened", layer.bytes.slice(0, 1000)],
  ["shortened to nothing", new Uint8Array()],
  ["lengthened", new Uint8Array([...layer.bytes, 0])],
];
for (const [what, bytes] of damages) {
  Deno.test(`[91] DiskStore counts a blob that was ${what} as missing, and accepts it again`, async () => {
    for (const method of ["statBlob", "openBlob"] as const) {
      await using it = await openStore();
      await it.damage(bytes);
      assertEquals(await it.store[method](REPO, digest), undefined);
      if (bytes.length > 0) {
        assertEquals(await it.quarantined(), [quarantinePath(digest).slice("quarantine/".length)]);
        assertStringIncludes(
          it.warnings.join(),
          `${digest} is corrupt: its content does not match its digest; moved it`,
        );
      }
      await it.store.writeBlob(REPO, layer.descriptor, streamOf(layer.bytes));
      assertEquals(await readAll(await it.store.openBlob(REPO, digest)), layer.bytes);
    }
  });
}

Deno.test("[91] DiskStore knows the size of a blob from a manifest that it has read for another reason", async () => {
  await using it = await openStore();
  await it.damage(layer.bytes.slice(0, 1000));
  await it.store.resolve(REPO, "1");
  assertEquals(await it.store.statBlob("", digest), undefined);
});

Deno.test("[91] DiskStore keeps an intact blob whose size a manifest states wrongly", async () => {
  await using it = await openStore();
  const liar = makeManifest(config, [{ ...layer, descriptor: { ...layer.descriptor, size: 5 } }]);
  await it.store.writeManifest("registry.example/other", liar.descriptor, liar.bytes);
  for (let i = 0; i < 2; i++) assertEquals(await it.store.statBlob("registry.example/other", digest), 300_000);
  assertEquals(await readAll(await it.store.openBlob(REPO, digest)), layer.bytes);
  assertEquals([await it.quarantined(), it.warnings], [[], []]);
});

Deno.test("[91] DiskStore hashes what it holds once if it is told to", async () => {
  await using it = await openStore({ isHashing: true });
  await it.damage(flip(layer.bytes));
  assertEquals(await it.store.statBlob(REPO, digest), undefined);
  assertEquals(await it.store.statBlob(REPO, config.descriptor.digest), 100);
  assertEquals((await it.quarantined()).length, 1);
  // A blob that was found intact is not read again.
  await it.damage(flip(makeBlob(100, 9).bytes.slice(0, 100)), config);
  assertEquals(await it.store.statBlob(REPO, config.descriptor.digest), 100);
});

Deno.test("[91] a read-only DiskStore leaves a corrupt blob in place, and counts it as missing", async () => {
  await using it = await openStore({ isReadOnly: true });
  await it.damage(layer.bytes.slice(0, 1000));
  assertEquals(await it.store.openBlob(REPO, digest), undefined);
  assertEquals([await it.quarantined(), it.warnings], [[], []]);
});

Deno.test("[91] checkBlob() tells intact, corrupt and missing blobs", async () => {
  await using it = await openStore();
  assertEquals(await it.store.checkBlob(digest), "intact");
  await it.damage(flip(layer.bytes));
  assertEquals(await it.store.checkBlob(digest), "corrupt");
  assertEquals(await it.store.checkBlob(digest), "missing");
});

Deno.test("[91] the quarantine has a limited number of files, the newest ones", async () => {
  await using folder = await TestFolder.create();
  const blobs = Array.from({ length: MAX_QUARANTINED + 3 }, (_, i) => makeBlob(10, i + 1).descriptor.digest);
  for (const [i, digest] of blobs.entries()) {
    const path = `${folder.path}/${blobPath(digest)}`;
    await Deno.mkdir(path.slice(0, path.lastIndexOf("/")), { recursive: true });
    await Deno.writeTextFile(path, "x");
    await moveToQuarantine(folder.path, digest);
    await Deno.utime(`${folder.path}/${quarantinePath(digest)}`, i, i);
  }
  const names = blobs.slice(3).map((digest) => quarantinePath(digest).slice("quarantine/".length));
  assertEquals((await folder.listFiles("quarantine")).sort(), names.sort());
});

Deno.test("[91] a file larger than the quarantine is removed", async () => {
  await using folder = await TestFolder.create();
  const path = `${folder.path}/${blobPath(digest)}`;
  await Deno.mkdir(path.slice(0, path.lastIndexOf("/")), { recursive: true });
  await Deno.writeTextFile(path, "x");
  // Sparse: it takes no space.
  await Deno.truncate(path, MAX_QUARANTINED_BYTES + 1);
  assertEquals(await moveToQuarantine(folder.path, digest), undefined);
  assertEquals(await folder.listFiles("quarantine"), []);
});

Deno.test("[91] DiskStore.checkBlob() leaves an intact file that has replaced the corrupt one that it read", async () => {
  await using it = await openStore();
  await it.damage(flip(layer.bytes));
  const other = new DiskStore(it.root);
  let isReplaced = false;
  const state = await it.store.checkBlob(digest, async () => {
    if (isReplaced) return;
    isReplaced = true;
    assertEquals(await other.checkBlob(digest), "corrupt");
    await other.writeBlob(REPO, layer.descriptor, streamOf(layer.bytes));
  });
  assertEquals([isReplaced, state], [true, "intact"]);
  assertEquals(await readAll(await it.store.openBlob(REPO, digest)), layer.bytes);
});

Deno.test("[91] DiskStore does not make a client wait for a check that proceeds slowly", async () => {
  await using it = await openStore({ isHashing: true });
  const gate = Promise.withResolvers<void>();
  const slow = it.store.checkBlob(digest, () => gate.promise);
  assertEquals(await it.store.statBlob(REPO, digest), layer.bytes.length);
  gate.resolve();
  assertEquals(await slow, "intact");
});
