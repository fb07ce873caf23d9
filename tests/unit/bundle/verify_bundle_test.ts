import { gzipSync } from "node:zlib";
import type { BundleProgress } from "../../../lib/bundle/bundle_progress.ts";
import { inspectBundle } from "../../../lib/bundle/inspect_bundle.ts";
import { verifyBundle } from "../../../lib/bundle/verify_bundle.ts";
import { CorruptError } from "../../../lib/oci/error.ts";
import { assert, assertEquals, assertRejects, assertStringIncludes } from "../../support/assert.ts";
import { type Content, makeBlob, streamOf } from "../../support/content.ts";
import { packDeltaBundle } from "../../support/delta_bundle.ts";
import { MemoryStore } from "../../support/memory_store.ts";
import { importBundle, linesOf, WatchedStore } from "../install/import_support.ts";
import {
  fileOf,
  filesOf,
  fillStore,
  makeDocument,
  makeImage,
  makeKubePkg,
  makeTar,
  makeTgz,
  makeUsualImage,
  pack,
  type TestImage,
} from "./bundle_support.ts";

const IMAGE = makeUsualImage();
const OTHER = makeImage("linux/amd64", [makeBlob(700, 9)]);
const LAYER = IMAGE.blobs[1]!;
const NAMES = { "app:1": IMAGE.root.descriptor.digest, "app:2": OTHER.root.descriptor.digest };

/** Makes a bundle of both images, with or without `status.digests`. The list has only what is in the file. */
function makeBundle(isListed: boolean, ...omitted: Content[]) {
  const rest = ({ manifests, blobs, root }: TestImage): TestImage => ({
    root,
    manifests: manifests.filter((it) => !omitted.includes(it)),
    blobs: blobs.filter((it) => !omitted.includes(it)),
  });
  const both = [IMAGE, OTHER].map(rest);
  const unique = new Map(both.flatMap((it) => linesOf(it)).map((line) => [JSON.stringify(line), line]));
  const status = isListed ? { status: { digests: [...unique.values()] } } : {};
  const kubepkg = makeKubePkg(NAMES, "1.0.0", status);
  const files = new Map(both.flatMap((it) => filesOf(kubepkg, it)));
  return makeTgz([...files]);
}

for (const isListed of [true, false]) {
  const how = isListed ? "that status.digests does not list" : "in a bundle without status.digests";
  Deno.test(`verifyBundle() finds missing content ${how}, and the images that it breaks`, async () => {
    assertEquals((await verifyBundle(streamOf(makeBundle(isListed)))).problems, []);
    const { problems } = await verifyBundle(streamOf(makeBundle(isListed, LAYER)));
    assertEquals(problems.map(({ digest, images }) => [digest, images]), [
      [LAYER.descriptor.digest, ["docker.io/library/app:1"]],
    ]);
    assertStringIncludes(problems[0]!.message, "it is missing");
    const roots = await verifyBundle(streamOf(makeBundle(isListed, OTHER.root)));
    assertEquals(roots.problems.map(({ digest, images }) => [digest, images]), [
      [OTHER.root.descriptor.digest, ["docker.io/library/app:2"]],
    ]);
  });
}

Deno.test("verifyBundle() does not report content that was left out because the site holds it", async () => {
  const source = await fillStore(new MemoryStore(), { "app:1": IMAGE });
  const all = await pack(makeKubePkg({ "app:1": "" }), source);
  const digests = all.result.kubepkg.status?.digests?.map(({ digest }) => digest) ?? [];
  for (let count = 1; count <= digests.length; count++) {
    const { bytes } = await pack(makeKubePkg({ "app:1": "" }), source, {
      have: new Set(digests.slice(0, count)),
      platforms: [{ os: "linux", architecture: "arm64" }],
    });
    assertEquals((await verifyBundle(streamOf(bytes))).problems, [], `${count} left out`);
  }
  for (const digest of digests) {
    const { bytes } = await pack(makeKubePkg({ "app:1": "" }), source, { have: new Set([digest]) });
    assertEquals((await verifyBundle(streamOf(bytes))).problems, [], `${digest} left out`);
  }
});

Deno.test("verifyBundle() names the image whose manifest is broken, and continues with the next", async () => {
  const broken = makeDocument("application/vnd.oci.image.manifest.v1+json", { schemaVersion: 2, layers: 5 });
  const kubepkg = makeKubePkg({ "app:1": broken.descriptor.digest, "app:2": OTHER.root.descriptor.digest });
  const files = [...filesOf(kubepkg, OTHER), fileOf(broken)].filter(([name]) => name !== fileOf(OTHER.blobs[1]!)[0]);
  const { problems } = await verifyBundle(streamOf(makeTgz(files)));
  assertEquals(problems.map(({ digest, images }) => [digest, images]), [
    [undefined, ["docker.io/library/app:1"]],
    [OTHER.blobs[1]!.descriptor.digest, ["docker.io/library/app:2"]],
  ]);
});

const JSON_FILE = new TextEncoder().encode(JSON.stringify(makeKubePkg({})));
const TAR = makeTar([["kubepkg.json", JSON.stringify(makeKubePkg({}))]]);
const NAMED: readonly [string, Uint8Array, string][] = [
  ["a JSON file", JSON_FILE, "Cannot read a.tgz: it is not a bundle (neither gzip, zstd nor tar)"],
  [
    "a large text",
    new Uint8Array(100_000).fill(0x61),
    "Cannot read a.tgz: it is not a bundle (neither gzip, zstd nor tar)",
  ],
  ["an empty file", new Uint8Array(0), "Cannot read a.tgz: it is empty"],
  ["JSON in gzip", gzipSync(JSON_FILE), "Cannot read a.tgz: it is not a bundle (the gzip data is not a tar)"],
  ["cut-off gzip", gzipSync(TAR).subarray(0, 50), "a.tgz: "],
  ["a cut-off tar", TAR.subarray(0, 700), "Cannot read a.tgz: it is cut off"],
  ["a tar with a wrong checksum", TAR.with(0, 1), "Cannot read a.tgz: the checksum of a header is wrong"],
  [
    "a tar without kubepkg.json",
    makeTar([["oci-layout", ""]]),
    "Cannot use a.tgz: this is an image archive",
  ],
  ["a tar without a KubePkg", makeTar([["kubepkg.json", "{}"]]), "Cannot use kubepkg.json of a.tgz: apiVersion"],
  ["a tar without JSON", makeTar([["kubepkg.json", "{"]]), "Cannot read kubepkg.json of a.tgz as JSON"],
  [
    "a package with an image without a digest",
    makeTar([["kubepkg.json", JSON.stringify(makeKubePkg({ "b:1": "" }))]]),
    "Cannot use a.tgz: it does not say which digest docker.io/library/b:1 has",
  ],
  [
    "a package with a number that would lose precision",
    makeTar([["kubepkg.json", JSON.stringify(makeKubePkg({})).replace('"v1"', '"v1","n":9007199254740993')]]),
    'Cannot use kubepkg.json of a.tgz: spec.manifests["web.default.service"].n: the number 9007199254740993',
  ],
];
for (const [title, bytes, message] of NAMED) {
  Deno.test(`importBundle(), verifyBundle() and inspectBundle() name the file in errors about ${title}`, async () => {
    const open = () => streamOf(new Uint8Array(bytes));
    const readers = [
      () => importBundle(open(), new WatchedStore(), { what: "a.tgz" }),
      async () => {
        const { problems } = await verifyBundle(open(), { what: "a.tgz" });
        throw new CorruptError(problems[0]?.message ?? "");
      },
      // inspectBundle() does not check the digests of images.
      ...title.includes("without a digest") ? [] : [() => inspectBundle(open(), "a.tgz")],
    ];
    for (const read of readers) assertStringIncludes((await assertRejects(read, CorruptError)).message, message);
    assert(readers.length >= 2);
  });
}

Deno.test("verifyBundle() reports the progress within a blob, and the total", async () => {
  const seen: { bytes: number; total?: number }[] = [];
  const { blobs } = await verifyBundle(streamOf(makeBundle(true)), {
    onProgress: ({ bytes, total }) => seen.push({ bytes, ...(total === undefined ? {} : { total }) }),
  });
  assertEquals(seen.every(({ bytes, total }) => total === blobs.size && bytes <= total), true);
  assertEquals(seen.at(-1)!.bytes, blobs.size);
  assertEquals(seen.length > blobs.count, true);
  assertEquals(seen.map(({ bytes }) => bytes), seen.map(({ bytes }) => bytes).sort((a, b) => a - b));
});

Deno.test("the progress of verifyBundle() ends at the total, also with deltas", async () => {
  const { bytes } = await packDeltaBundle();
  const seen: BundleProgress[] = [];
  const { problems } = await verifyBundle(streamOf(bytes), { onProgress: (progress) => seen.push(progress) });
  const { bytes: done, total } = seen.at(-1)!;
  assertEquals([problems, done], [[], total!]);
});
