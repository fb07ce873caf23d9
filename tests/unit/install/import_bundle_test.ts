import { formatSize } from "../../../lib/bytes/format_size.ts";
import { gunzipSync } from "node:zlib";
import { CorruptError, NoSpaceError, RefusedError } from "../../../lib/oci/error.ts";
import { DiskStore } from "../../../lib/store/disk_store.ts";
import {
  assertEquals,
  assertLess,
  assertNotEquals,
  assertRejects,
  assertStringIncludes,
} from "../../support/assert.ts";
import { streamOf } from "../../support/content.ts";
import { MemoryStore } from "../../support/memory_store.ts";
import { fillStore, makeKubePkg, makeUsualImage, pack, withFolder } from "../bundle/bundle_support.ts";
import { checkImage, importBundle, type ImportOptions, WatchedStore } from "./import_support.ts";

const IMAGE = makeUsualImage();
const OTHER = makeUsualImage(20);
const IMAGES = { "registry.lan:5000/team/app:1.2": IMAGE, "nginx:1": OTHER, "nginx:also": OTHER };
/** What the decompression of a stream may take before it is used, in bytes; the bundle has four times as many. */
const READ_AHEAD = 100_000;
const NAMES = { "registry.lan:5000/team/app:1.2": "", "nginx:1": "", "nginx:also": "" };
const { bytes: BUNDLE, result: PACKED } = await pack(makeKubePkg(NAMES), await fillStore(new MemoryStore(), IMAGES));

Deno.test("importBundle() writes blobs, manifests and tags into the store", async () => {
  const store = new WatchedStore();
  const progress: number[] = [];
  const result = await importBundle(streamOf(BUNDLE), store, {
    onProgress: ({ bytes, total }) => {
      assertEquals(total, PACKED.blobs.size);
      progress.push(bytes);
    },
  });
  await checkImage(store, "registry.lan:5000/team/app:1.2", IMAGE);
  await checkImage(store, "docker.io/library/nginx:1", OTHER);
  await checkImage(store, "docker.io/library/nginx:also", OTHER);
  // Each digest is counted once: 2 images with 2 configs, 2 own layers, 2 manifests and an index each, and a shared
  // layer.
  const contents = [...IMAGE.blobs, ...OTHER.blobs, ...IMAGE.manifests, ...OTHER.manifests];
  const unique = new Set(contents.map(({ descriptor }) => descriptor.digest));
  assertEquals(result.blobs, { written: unique.size, skipped: 0, bytesWritten: PACKED.blobs.size });
  assertEquals(result.isImported, true);
  assertEquals(result.plan.verdict, "install");
  assertEquals(result.images.map(({ reference, platforms }) => [reference, platforms]), [
    ["docker.io/library/nginx:1", ["linux/amd64", "linux/arm64"]],
    ["docker.io/library/nginx:also", ["linux/amd64", "linux/arm64"]],
    ["registry.lan:5000/team/app:1.2", ["linux/amd64", "linux/arm64"]],
  ]);
  assertEquals(result.kubepkg, PACKED.kubepkg);
  assertEquals(progress.at(-1), PACKED.blobs.size);
  assertEquals(progress, progress.toSorted((a, b) => a - b));
  // Tags are written last.
  const { visible } = store;
  assertEquals(visible.slice(visible.indexOf("tag")), ["tag", "tag", "tag"]);
});

Deno.test("[26][38] importBundle() writes no blob the second time", async () => {
  const store = new WatchedStore();
  await importBundle(streamOf(BUNDLE), store);
  const before = store.blobs.length;
  const { blobs } = await importBundle(streamOf(BUNDLE), store);
  assertEquals(store.blobs.length, before);
  assertEquals([blobs.written, blobs.bytesWritten], [0, 0]);
  assertNotEquals(blobs.skipped, 0);
});

Deno.test("[26] importBundle() resumes an interrupted import and skips the blobs that were written", async () => {
  const tar = new Uint8Array(gunzipSync(BUNDLE));
  for (const part of [0.3, 0.6, 0.9, 0.99]) {
    const store = new WatchedStore();
    const cut = streamOf(tar.slice(0, Math.floor(tar.length * part)));
    await assertRejects(() => importBundle(cut, store), CorruptError, "Cannot read the");
    assertEquals(store.visible, []);
    const done = new Set(store.blobs);
    await importBundle(streamOf(BUNDLE), store);
    assertEquals(store.blobs.length, new Set(store.blobs).size, "a blob was written twice");
    assertEquals([...done].every((digest) => store.blobs.indexOf(digest) < done.size), true);
    await checkImage(store, "docker.io/library/nginx:1", OTHER);
  }
});

Deno.test("[26] importBundle() reports a lost connection and leaves nothing visible", async () => {
  const store = new WatchedStore();
  let at = 0;
  const stream = new ReadableStream<Uint8Array>({
    pull: (controller) => {
      if (at > 200_000) controller.error(new TypeError("connection lost"));
      else controller.enqueue(BUNDLE.slice(at, at += 10_000));
    },
  });
  await assertRejects(() => importBundle(stream, store), TypeError, "connection lost");
  assertEquals(store.visible, []);
});

Deno.test("[48] importBundle() of a truncated bundle leaves no manifest and no tag, wherever it was cut", async () => {
  const lengths = [
    0,
    1,
    100,
    1000,
    BUNDLE.length - 3000,
    BUNDLE.length - 1100,
    BUNDLE.length - 14,
    BUNDLE.length - 8,
    BUNDLE.length - 1,
  ];
  for (const length of lengths) {
    const store = new WatchedStore();
    await assertRejects(() => importBundle(streamOf(BUNDLE.slice(0, length)), store), CorruptError);
    assertEquals(store.visible, [], `${length} bytes`);
  }
});

Deno.test("importBundle() links the blobs of a DiskStore into every repository", async () => {
  await withFolder(async (folder) => {
    const store = new DiskStore(folder);
    await importBundle(streamOf(BUNDLE), store);
    await checkImage(store, "registry.lan:5000/team/app:1.2", IMAGE);
    await checkImage(store, "docker.io/library/nginx:1", OTHER);
    const { descriptor } = IMAGE.blobs.find(({ bytes }) => bytes.length === 5000)!;
    for (const repo of ["registry.lan:5000/team/app", "docker.io/library/nginx"]) {
      const link = `docker/registry/v2/repositories/${repo}/_layers/${descriptor.digest.replace(":", "/")}/link`;
      assertEquals(await Deno.readTextFile(`${folder}/${link}`), descriptor.digest);
    }
  });
});

const INSTALLED = makeKubePkg({}, "1.0.0");
const VERSIONS: readonly [string, string, object, ImportOptions, string | undefined][] = [
  ["a downgrade", "0.9.0", {}, {}, "demo@0.9.0: 1.0.0 is installed, which is higher"],
  [
    "a changed re-issue",
    "1.0.0",
    { metadata: { name: "demo", labels: { a: "b" } } },
    {},
    "that version is installed with other content (sha256:",
  ],
  [
    "[86] a changed re-issue with build metadata",
    "1.0.0+k3s1",
    { metadata: { name: "demo", labels: { a: "b" } } },
    {},
    "demo@1.0.0+k3s1: 1.0.0, which is the same version, is installed with other content",
  ],
  ["a forced downgrade", "0.9.0", {}, { force: true }, undefined],
  [
    "a forced changed re-issue",
    "1.0.0",
    { metadata: { name: "demo", labels: { a: "b" } } },
    { force: true },
    undefined,
  ],
  ["an upgrade", "1.0.1", {}, {}, undefined],
];

for (const [title, version, more, options, message] of VERSIONS) {
  Deno.test(`importBundle() ${message === undefined ? "accepts" : "refuses"} ${title}`, async () => {
    const store = new WatchedStore();
    const { bytes } = await pack(
      makeKubePkg({ "nginx:1": "" }, version, more),
      await fillStore(new MemoryStore(), { "nginx:1": OTHER }),
    );
    const run = () =>
      importBundle(streamOf(bytes), store, {
        ...options,
        installed: [INSTALLED],
      });
    if (message === undefined) {
      assertEquals((await run()).isImported, true);
      assertNotEquals(store.visible, []);
    } else {
      assertStringIncludes((await assertRejects(run, RefusedError)).message, message);
      assertEquals([store.blobs, store.visible], [[], []]);
    }
  });
}

Deno.test("importBundle() of an installed release changes nothing and reads only the first entry", async () => {
  const store = new WatchedStore();
  await importBundle(streamOf(BUNDLE), store);
  const [blobs, visible] = [store.blobs.length, store.visible.length];
  let given = 0;
  const stream = new ReadableStream<Uint8Array>({
    pull: (controller) => controller.enqueue(BUNDLE.slice(given, given += 1000)),
  });
  const result = await importBundle(stream, store, { installed: [PACKED.kubepkg] });
  assertEquals([result.isImported, result.plan.verdict, result.images.length], [false, "same", 3]);
  assertEquals([store.blobs.length, store.visible.length], [blobs, visible]);
  assertLess(given, READ_AHEAD);
  assertEquals(
    (await importBundle(streamOf(BUNDLE), store, { installed: [PACKED.kubepkg], force: true })).isImported,
    true,
  );
});

Deno.test("importBundle() with dryRun returns the plan and reads only the first entry", async () => {
  const store = new WatchedStore();
  const shared = IMAGE.blobs.find(({ bytes }) => bytes.length === 5000)!;
  await store.writeBlob("x", shared.descriptor, streamOf(shared.bytes));
  store.blobs.length = 0;
  let given = 0;
  const stream = new ReadableStream<Uint8Array>({
    pull: (controller) => controller.enqueue(BUNDLE.slice(given, given += 1000)),
  });
  const { plan, isImported } = await importBundle(stream, store, { dryRun: true });
  assertEquals(isImported, false);
  assertEquals(plan, {
    name: "demo",
    namespace: "default",
    version: "0.0.1",
    verdict: "install",
    referrers: undefined,
    freeBytes: undefined,
    warnings: undefined,
    refusal: undefined,
    trust: { state: "unsigned", keys: [] },
    isRepair: false,
    images: ["docker.io/library/nginx:1", "docker.io/library/nginx:also", "registry.lan:5000/team/app:1.2"],
    blobs: {
      toWrite: PACKED.blobs.count - 1,
      bytesToWrite: PACKED.blobs.size - 5000,
      held: 1,
      inOtherParts: 0,
      temporaryBytes: undefined,
      missing: [],
    },
    manifests: { added: ["Service/default/web"], changed: [], removed: [], kept: [] },
  });
  assertEquals([store.blobs, store.visible], [[], []]);
  assertLess(given, READ_AHEAD);
});

Deno.test("[32] importBundle() refuses a bundle that does not fit before it writes, and names the missing bytes", async () => {
  const store = new WatchedStore();
  const freeBytes = () => Promise.resolve(PACKED.blobs.size - 7);
  const error = await assertRejects(() => importBundle(streamOf(BUNDLE), store, { freeBytes }), NoSpaceError);
  assertStringIncludes(
    error.message,
    `needs ${formatSize(PACKED.blobs.size)}, ${formatSize(PACKED.blobs.size - 7)} are free, 7 B are missing`,
  );
  assertEquals([store.blobs, store.visible], [[], []]);
  await importBundle(streamOf(BUNDLE), store, { freeBytes: () => Promise.resolve(PACKED.blobs.size) });
  // Content that the store holds needs no space.
  await importBundle(streamOf(BUNDLE), store, { freeBytes: () => Promise.resolve(0) });
});

Deno.test("[32] importBundle() sets no tag when the disk becomes full", async () => {
  const store = new WatchedStore();
  store.failOn = OTHER.blobs[4]?.descriptor.digest;
  await assertRejects(() => importBundle(streamOf(BUNDLE), store), NoSpaceError, "no space left");
  assertEquals(store.visible, []);
});
