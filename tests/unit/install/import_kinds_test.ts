import { gzipSync } from "node:zlib";
import { CorruptError, IncompleteError } from "../../../lib/oci/error.ts";
import { DiskStore } from "../../../lib/store/disk_store.ts";
import { assert, assertEquals, assertRejects, assertStringIncludes } from "../../support/assert.ts";
import { makeBlob, streamOf } from "../../support/content.ts";
import { MemoryStore } from "../../support/memory_store.ts";
import {
  filesOf,
  fillStore,
  makeImage,
  makeKubePkg,
  makeMultiImage,
  makeTar,
  makeTgz,
  makeUsualImage,
  pack,
  type TestFile,
  withFolder,
} from "../bundle/bundle_support.ts";
import { checkImage, importBundle, linesOf, WatchedStore } from "./import_support.ts";

const IMAGE = makeUsualImage();
const OTHER = makeUsualImage(20);
const GOOD = makeImage("linux/amd64", [makeBlob(700)]).root;
const [AMD, ARM] = [makeImage("linux/amd64", [makeBlob(3000, 55)]), makeImage("linux/arm64")];
const MULTI = makeMultiImage([["linux/amd64", AMD], ["linux/arm64", ARM]]);

Deno.test("importBundle() accepts an index of which only some platforms are carried", async () => {
  const source = await fillStore(new MemoryStore(), { "app:1": MULTI });
  const { bytes } = await pack(makeKubePkg({ "app:1": "" }), source, {
    platforms: [{ os: "linux", architecture: "arm64" }],
  });
  const store = new WatchedStore();
  const { images } = await importBundle(streamOf(bytes), store);
  assertEquals(images[0]?.platforms, ["linux/arm64"]);
  assertEquals((await store.resolve("docker.io/library/app", "1"))?.digest, MULTI.root.descriptor.digest);
  assertEquals(await store.readManifest("docker.io/library/app", MULTI.root.descriptor.digest), MULTI.root.bytes);
  assertEquals(await store.readManifest("docker.io/library/app", AMD.root.descriptor.digest), undefined);
});

Deno.test("importBundle() ignores content of an index's other platforms in the store", async () => {
  const source = await fillStore(new MemoryStore(), { "app:1": MULTI });
  const { bytes } = await pack(makeKubePkg({ "app:1": "" }), source, {
    platforms: [{ os: "linux", architecture: "arm64" }],
  });
  const store = new WatchedStore();
  await store.writeManifest("docker.io/library/app", AMD.root.descriptor, AMD.root.bytes);
  assertEquals((await importBundle(streamOf(bytes), store)).isImported, true);
});

Deno.test("importBundle() of a bundle with omitted blobs refuses it before it writes, unless the store holds them", async () => {
  const source = await fillStore(new MemoryStore(), { "app:1": IMAGE, "app:2": OTHER });
  const first = await pack(makeKubePkg({ "app:1": "" }, "1.0.0"), source);
  const have = new Set(first.result.kubepkg.status?.digests?.map(({ digest }) => digest));
  const delta = await pack(makeKubePkg({ "app:1": "", "app:2": "" }, "2.0.0"), source, { have });
  assert(delta.result.blobs.size < first.result.blobs.size + 220_000);

  const empty = new WatchedStore();
  const error = await assertRejects(() => importBundle(streamOf(delta.bytes), empty), IncompleteError);
  assertEquals(new Set(error.missing), have);
  assertStringIncludes(error.message, "docker.io/library/app:1");
  assertEquals([empty.blobs, empty.visible], [[], []]);

  await withFolder(async (folder) => {
    for (const store of [new WatchedStore(), new DiskStore(folder)]) {
      await importBundle(streamOf(first.bytes), store);
      const { blobs } = await importBundle(streamOf(delta.bytes), store, { installed: [first.result.kubepkg] });
      assertEquals([blobs.skipped, blobs.written], [0, delta.result.blobs.count]);
      await checkImage(store, "docker.io/library/app:1", IMAGE);
      await checkImage(store, "docker.io/library/app:2", OTHER);
    }
  });
});

Deno.test("importBundle() of a bundle with omitted blobs imports an image that the store has under another name", async () => {
  const first = await pack(makeKubePkg({ "app:1": "" }), await fillStore(new MemoryStore(), { "app:1": IMAGE }));
  const have = new Set(first.result.kubepkg.status?.digests?.map(({ digest }) => digest));
  const delta = await pack(
    makeKubePkg({ "b.lan/moved:1": "" }),
    await fillStore(new MemoryStore(), { "b.lan/moved:1": IMAGE }),
    { have },
  );
  assertEquals(delta.result.blobs.count, 0);
  const store = new WatchedStore();
  await importBundle(streamOf(first.bytes), store);
  await importBundle(streamOf(delta.bytes), store, { force: true });
  await checkImage(store, "b.lan/moved:1", IMAGE);
});

const OLD: readonly [string, object, (files: TestFile[]) => TestFile[]][] = [
  ["digests in spec.images alone", { "app:1": IMAGE.root.descriptor.digest }, (files) => files],
  [
    "manifests before the content that they name",
    { "app:1": IMAGE.root.descriptor.digest },
    ([first, ...rest]) => [first!, ...rest.reverse()],
  ],
];

for (const [title, images, arrange] of OLD) {
  Deno.test(`importBundle() reads a bundle of earlier tools: ${title}`, async () => {
    const kubepkg = { ...makeKubePkg(images as Record<string, string>) };
    const tar = makeTar(arrange(filesOf(kubepkg, IMAGE)));
    for (const bytes of [tar, new Uint8Array(gzipSync(tar))]) {
      const store = new WatchedStore();
      const { images } = await importBundle(streamOf(bytes), store);
      await checkImage(store, "docker.io/library/app:1", IMAGE);
      assertEquals(images[0]?.platforms, ["linux/amd64", "linux/arm64"]);
    }
  });
}

Deno.test("importBundle() reads a bundle that has the digests of tags only in its status, and detects it as installed", async () => {
  const digests = linesOf(IMAGE).map((line) =>
    "digest" in line && line.digest === IMAGE.root.descriptor.digest ? { ...line, tag: "1" } : line
  );
  const files = filesOf(makeKubePkg({ "app:1": "" }, "1.0.0", { status: { digests } }), IMAGE);
  const store = new WatchedStore();
  const { kubepkg } = await importBundle(streamOf(makeTgz(files)), store);
  await checkImage(store, "docker.io/library/app:1", IMAGE);
  assertEquals(kubepkg.spec.images, { "app:1": IMAGE.root.descriptor.digest });
  assertEquals(
    (await importBundle(streamOf(makeTgz(files)), store, { installed: [kubepkg] })).plan.verdict,
    "same",
  );
  const lost = filesOf(makeKubePkg({ "app:2": "" }, "1.0.0", { status: { digests } }), IMAGE);
  await assertRejects(
    () => importBundle(streamOf(makeTgz(lost)), store),
    CorruptError,
    "which digest docker.io/library/app:2 has",
  );
});

Deno.test("importBundle() writes a layer that looks like a manifest as a layer", async () => {
  const image = makeImage("linux/amd64", [GOOD]);
  for (const type of ["blob", "manifest"]) {
    const digests = linesOf(image).map((line) =>
      "digest" in line && line.digest === GOOD.descriptor.digest ? { ...line, type } : line
    );
    for (const more of [{}, { status: { digests } }]) {
      const store = new WatchedStore();
      await importBundle(
        streamOf(makeTgz(filesOf(makeKubePkg({ "app:1": image.root.descriptor.digest }, "1.0.0", more), image))),
        store,
      );
      await checkImage(store, "docker.io/library/app:1", image);
    }
  }
});

Deno.test("[45] importBundle() accepts content with sha512 digests", async () => {
  const layer = makeBlob(900, 3, "sha512");
  const image = makeImage("linux/amd64", [layer]);
  const source = await fillStore(new MemoryStore(), { "app:1": image });
  const { bytes } = await pack(makeKubePkg({ "app:1": "" }), source);
  const store = new WatchedStore();
  await importBundle(streamOf(bytes), store);
  assertEquals(await store.statBlob("docker.io/library/app", layer.descriptor.digest), 900);
});

Deno.test("importBundle() of a package without images writes nothing", async () => {
  const { bytes } = await pack(makeKubePkg({}), new MemoryStore());
  const store = new WatchedStore();
  assertEquals((await importBundle(streamOf(bytes), store)).isImported, true);
  assertEquals([store.blobs, store.visible], [[], []]);
});
