import { CorruptError, IncompleteError, NoSpaceError } from "../../../lib/oci/error.ts";
import { MEDIA_TYPE } from "../../../lib/oci/manifest.ts";
import { assertEquals, assertRejects, assertStringIncludes } from "../../support/assert.ts";
import { type Content, makeBlob, streamOf } from "../../support/content.ts";
import {
  fileOf,
  filesOf,
  makeDocument,
  makeImage,
  makeKubePkg,
  makeMultiImage,
  makeTgz,
  makeUsualImage,
  type TestFile,
  type TestImage,
} from "../bundle/bundle_support.ts";
import { checkImage, importBundle, linesOf, WatchedStore } from "./import_support.ts";

const IMAGE = makeUsualImage();
Deno.test("[43] importBundle() refuses a blob or manifest whose content does not match its digest", async () => {
  for (const wrong of [IMAGE.blobs[2]!, IMAGE.blobs[0]!, IMAGE.root]) {
    for (const status of [true, false]) {
      const kubepkg = makeKubePkg(
        { "app:1": IMAGE.root.descriptor.digest },
        "1.0.0",
        status ? { status: { digests: linesOf(IMAGE) } } : {},
      );
      const files = filesOf(kubepkg, IMAGE).map(([name, content]): TestFile => {
        if (name !== fileOf(wrong)[0]) return [name, content];
        return [name, wrong.bytes.with(9, 1 + (wrong.bytes[9] ?? 0))];
      });
      const store = new WatchedStore();
      const error = await assertRejects(() => importBundle(streamOf(makeTgz(files)), store), CorruptError);
      assertStringIncludes(error.message, `Cannot import demo@1.0.0: cannot accept ${wrong.descriptor.digest}`);
      assertEquals(store.visible, []);
    }
  }
});

const [CONFIG, LAYER] = makeImage("linux/amd64", [makeBlob(700)]).blobs as [Content, Content];
const manifestOf = (change: object) => {
  const mediaType = "application/vnd.oci.image.manifest.v1+json";
  return makeDocument(mediaType, {
    schemaVersion: 2,
    mediaType,
    config: CONFIG.descriptor,
    layers: [LAYER.descriptor],
    ...change,
  });
};
const single = (root: Content, blobs: Content[] = [CONFIG, LAYER]): TestImage => ({ root, manifests: [root], blobs });
const GOOD = manifestOf({});
const [AMD, ARM] = [makeImage("linux/amd64", [makeBlob(3000, 55)]), makeImage("linux/arm64")];
const MULTI = makeMultiImage([["linux/amd64", AMD], ["linux/arm64", ARM]]);
const without = (image: TestImage, ...missing: Content[]): TestImage => ({
  ...image,
  manifests: image.manifests.filter((it) => !missing.includes(it)),
  blobs: image.blobs.filter((it) => !missing.includes(it)),
});

type ErrorClass = typeof CorruptError | typeof IncompleteError;
const BROKEN: readonly [string, TestImage, ErrorClass, string][] = [
  ["a layer is missing", single(GOOD, [CONFIG]), IncompleteError, LAYER.descriptor.digest],
  ["the config is missing", single(GOOD, [LAYER]), IncompleteError, CONFIG.descriptor.digest],
  ["the manifest is missing", { ...single(GOOD), manifests: [] }, IncompleteError, GOOD.descriptor.digest],
  ["the index is missing", without(MULTI, MULTI.root), IncompleteError, MULTI.root.descriptor.digest],
  ["every child is missing", without(MULTI, AMD.root, ARM.root), IncompleteError, AMD.root.descriptor.digest],
  [
    "the layer of a carried child is missing",
    without(MULTI, ARM.root, AMD.blobs[1]!),
    IncompleteError,
    AMD.blobs[1]!.descriptor.digest,
  ],
  [
    "a layer's size differs",
    single(manifestOf({ layers: [{ ...LAYER.descriptor, size: 701 }] })),
    CorruptError,
    "has 700 bytes, but the manifest that refers to it says 701",
  ],
  [
    "a child's size differs",
    (() => {
      const spoilt = { ...AMD, root: { ...AMD.root, descriptor: { ...AMD.root.descriptor, size: 5 } } };
      const index = makeMultiImage([["linux/amd64", spoilt]]);
      return { ...index, manifests: [AMD.root, index.root] };
    })(),
    CorruptError,
    "the manifest that refers to it says 5",
  ],
  [
    "a child is listed twice, the second time with another size",
    (() => {
      const [child, wrong] = [AMD.root.descriptor, { ...AMD.root.descriptor, size: 5 }];
      const root = makeDocument(MEDIA_TYPE.ociIndex, {
        schemaVersion: 2,
        mediaType: MEDIA_TYPE.ociIndex,
        manifests: [child, wrong],
      });
      return { root, manifests: [AMD.root, root], blobs: AMD.blobs };
    })(),
    CorruptError,
    "the manifest that refers to it says 5",
  ],
  [
    "a manifest has both layers and manifests",
    single(manifestOf({ manifests: [] })),
    CorruptError,
    "both layers and manifests",
  ],
  ["the manifest is not a manifest", single(LAYER), CorruptError, "is broken"],
];

for (const [title, image, errorClass, message] of BROKEN) {
  for (const status of [false, true]) {
    Deno.test(`[53] importBundle() refuses a bundle if ${title}${status ? ", with status.digests" : ""}`, async () => {
      const lines = linesOf(image).filter((line, i, all) =>
        i === all.findIndex((it) => JSON.stringify(it) === JSON.stringify(line))
      );
      const more = status
        ? {
          status: {
            digests: lines.map((line) =>
              ("digest" in line && line.digest === AMD.root.descriptor.digest)
                ? { ...line, size: AMD.root.bytes.length }
                : line
            ),
          },
        }
        : {};
      const kubepkg = makeKubePkg({ "app:1": image.root.descriptor.digest }, "1.0.0", more);
      const store = new WatchedStore();
      const run = async () => await importBundle(streamOf(makeTgz(filesOf(kubepkg, image))), store);
      const error = await assertRejects(run, errorClass as typeof CorruptError);
      assertStringIncludes(error.message, message);
      assertEquals(store.visible, []);
    });
  }
}

Deno.test("[53] importBundle() refuses a bundle if a blob of status.digests is neither in the file nor in the store", async () => {
  const kubepkg = makeKubePkg({ "app:1": GOOD.descriptor.digest }, "1.0.0", {
    status: { digests: linesOf(single(GOOD)) },
  });
  const bytes = makeTgz(filesOf(kubepkg, single(GOOD, [CONFIG])));
  const store = new WatchedStore();
  const error = await assertRejects(() => importBundle(streamOf(bytes), store), IncompleteError, "a blob is neither");
  assertEquals(error.missing, [LAYER.descriptor.digest]);
  assertEquals(store.visible, []);
  await store.writeBlob("elsewhere", LAYER.descriptor, streamOf(LAYER.bytes));
  await importBundle(streamOf(bytes), store);
  await checkImage(store, "docker.io/library/app:1", single(GOOD));
});
Deno.test("importBundle() checks the free space for blobs that the package does not declare", async () => {
  const store = new WatchedStore();
  const bytes = makeTgz(filesOf(makeKubePkg({ "app:1": GOOD.descriptor.digest }), single(GOOD)));
  await assertRejects(
    () => importBundle(streamOf(bytes), store, { freeBytes: () => Promise.resolve(699) }),
    NoSpaceError,
  );
  assertEquals(store.visible, []);
});
