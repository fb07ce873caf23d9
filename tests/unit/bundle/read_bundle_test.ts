import { gzipSync, zstdCompressSync } from "node:zlib";
import { blobEntryName } from "../../../lib/bundle/entry_names.ts";
import { inspectBundle } from "../../../lib/bundle/inspect_bundle.ts";
import { readBundle } from "../../../lib/bundle/read_bundle.ts";
import { verifyBundle } from "../../../lib/bundle/verify_bundle.ts";
import { CorruptError } from "../../../lib/oci/error.ts";
import { assert, assertEquals, assertRejects, assertStringIncludes } from "../../support/assert.ts";
import { makeBlob, makeBytes, streamOf } from "../../support/content.ts";
import { MemoryStore } from "../../support/memory_store.ts";
import {
  fileOf,
  fillStore,
  makeKubePkg,
  makeTar,
  makeTgz,
  makeUsualImage,
  pack,
  type TestFile,
} from "./bundle_support.ts";

const IMAGE = makeUsualImage();
const BLOB = makeBlob(1000);
const DIGESTS = [{ type: "blob", name: "docker.io/library/app", digest: BLOB.descriptor.digest, size: 1000 }];
const KUBEPKG = JSON.stringify(makeKubePkg({}));
const DECLARED = JSON.stringify(makeKubePkg({}, "1.0.0", { status: { digests: DIGESTS } }));

async function readAll(bytes: Uint8Array<ArrayBuffer>): Promise<string[]> {
  const bundle = await readBundle(streamOf(bytes));
  const found: string[] = [];
  for (let blob = await bundle.next(); blob !== undefined; blob = await bundle.next()) found.push(blob.name);
  return found;
}

Deno.test("readBundle() reads gzip, zstd and plain tar", async () => {
  const tar = makeTar([["kubepkg.json", KUBEPKG], fileOf(BLOB)]);
  const expected = [blobEntryName(BLOB.descriptor.digest)];
  for (const bytes of [tar, gzipSync(tar), zstdCompressSync(tar)]) {
    assertEquals(await readAll(new Uint8Array(bytes)), expected);
  }
});

const REFUSED: readonly [string, readonly TestFile[], string][] = [
  [
    "[50] kubepkg.json is not first",
    [fileOf(BLOB), ["kubepkg.json", KUBEPKG]],
    "this is an image archive (docker save, podman save or OCI layout), not a bundle",
  ],
  [
    "[50] there is no kubepkg.json",
    [["oci-layout", "{}"]],
    "this is an image archive (docker save, podman save or OCI layout), not a bundle",
  ],
  ["[50] it is empty", [], "it has no files"],
  [
    "[42] it has kubepkg.json twice",
    [["kubepkg.json", KUBEPKG], ["kubepkg.json", KUBEPKG]],
    "it has kubepkg.json twice",
  ],
  [
    "[42] it has kubepkg.json twice, once as ./kubepkg.json",
    [["kubepkg.json", KUBEPKG], ["./kubepkg.json", KUBEPKG]],
    "twice",
  ],
  [
    "[51] kubepkg.json is cut off",
    [["kubepkg.json", KUBEPKG.slice(0, -9)]],
    "Cannot read kubepkg.json of the bundle as JSON",
  ],
  [
    "[51] kubepkg.json has 81 MiB",
    [["kubepkg.json", new Uint8Array(81 << 20)]],
    '"kubepkg.json" has 84934656 bytes, 83886080 are allowed',
  ],
  ["[51] kubepkg.json is 10,000 levels deep", [["kubepkg.json", `{"a":${"[".repeat(10_000)}`]], "nested deeper than"],
  ["[51] kubepkg.json has __proto__", [["kubepkg.json", '{"__proto__":{}}']], "__proto__"],
  [
    "[52] the package's name is a path",
    [["kubepkg.json", KUBEPKG.replace('"demo"', '"../../x"')]],
    "metadata.name: must be",
  ],
  [
    "[47] it has a blob that it does not declare",
    [["kubepkg.json", DECLARED], fileOf(makeBlob(5))],
    "kubepkg.json does not list",
  ],
  [
    "[47] it has a blob that is larger than declared",
    [["kubepkg.json", DECLARED], [fileOf(BLOB)[0], makeBytes(1001)]],
    "has 1001 bytes, kubepkg.json says 1000",
  ],
  [
    "it has another file",
    [["kubepkg.json", KUBEPKG], ["install.sh", "rm"]],
    '"install.sh", which does not belong in a bundle',
  ],
  [
    "it has a blob of an unknown algorithm",
    [["kubepkg.json", KUBEPKG], ["blobs/md5/00", ""]],
    "which does not belong in a bundle",
  ],
  ["it has a blob in upper case", [["kubepkg.json", KUBEPKG], [
    fileOf(BLOB)[0].toUpperCase().replace("BLOBS/SHA", "blobs/sha"),
    "",
  ]], "which does not belong in a bundle"],
  [
    "index.json is not JSON",
    [["kubepkg.json", KUBEPKG], ["index.json", "["]],
    "Cannot read index.json of the bundle as JSON",
  ],
  ["it declares two sizes for one blob", [[
    "kubepkg.json",
    DECLARED.replace('"digests":[', `"digests":[${JSON.stringify({ ...DIGESTS[0], size: 1 })},`),
  ]], "two sizes"],
];

for (const [title, files, message] of REFUSED) {
  Deno.test(`${title.startsWith("[") ? title.slice(0, 5) : ""}readBundle() refuses a bundle when ${title.replace(/^\[\d+\] /, "")}`, async () => {
    const bytes = makeTgz(files);
    assertStringIncludes((await assertRejects(() => readAll(bytes), CorruptError)).message, message);
  });
}

Deno.test("[47] readBundle() reads no more of a gzip bomb than its first header", async () => {
  const tar = makeTar([["kubepkg.json", DECLARED], [fileOf(BLOB)[0], new Uint8Array(64 << 20)]]);
  const bomb = new Uint8Array(gzipSync(tar));
  let given = 0;
  let isCancelled = false;
  const stream = new ReadableStream<Uint8Array>({
    pull: (controller) => controller.enqueue(bomb.slice(given, given += 512)),
    cancel: () => void (isCancelled = true),
  }, { highWaterMark: 0 });
  const bundle = await readBundle(stream);
  await assertRejects(() => bundle.next(), CorruptError, "67108864 bytes, kubepkg.json says 1000");
  await bundle.cancel();
  assert(given < 10_000 && given < bomb.length / 4, `${given} of ${bomb.length} bytes were read`);
  assert(isCancelled);
});

Deno.test("inspectBundle() describes a bundle, and reads only its first entry", async () => {
  const store = await fillStore(new MemoryStore(), { "a.lan/app:1": IMAGE });
  const { bytes, result } = await pack(makeKubePkg({ "a.lan/app:1": "" }), store);
  let given = 0;
  const stream = new ReadableStream<Uint8Array>({
    pull: (controller) => controller.enqueue(bytes.slice(given, given += 1000)),
  }, { highWaterMark: 0 });
  const size = result.blobs.size;
  assertEquals(await inspectBundle(stream), [{
    name: "demo",
    namespace: "default",
    version: "0.0.1",
    platforms: ["linux/amd64", "linux/arm64"],
    images: [{
      reference: "a.lan/app:1",
      digest: IMAGE.root.descriptor.digest,
      platforms: ["linux/amd64", "linux/arm64"],
      size,
      referrers: undefined,
    }],
    manifests: [{ key: "web.default.service", kind: "Service", namespace: undefined, name: "web" }],
    blobs: { count: 8, size },
    omitted: { count: 0, size: 0 },
  }]);
  assert(given < 10_000 && bytes.length > 200_000, `${given} of ${bytes.length} bytes were read`);
});

Deno.test("verifyBundle() finds no problems in an intact bundle", async () => {
  const store = await fillStore(new MemoryStore(), { "app:1": IMAGE });
  const { bytes, result } = await pack(makeKubePkg({ "app:1": "" }), store, {
    have: new Set([BLOB.descriptor.digest]),
  });
  assertEquals(await verifyBundle(streamOf(bytes)), {
    packages: [{ name: "demo", version: "0.0.1" }],
    blobs: { count: 8, size: result.blobs.size },
    problems: [],
  });
});

Deno.test("verifyBundle() lists all problems, and the images that each breaks", async () => {
  const [other, third] = [makeBlob(500, 2), makeBlob(300, 3)];
  const line = (name: string, { descriptor: { digest, size } }: typeof BLOB) => ({ type: "blob", name, digest, size });
  const kubepkg = makeKubePkg({ "app:1": IMAGE.root.descriptor.digest, "b:1": "" }, "1.0.0", {
    status: {
      digests: [
        line("docker.io/library/app", BLOB),
        line("docker.io/library/b", other),
        line("docker.io/library/b", third),
      ],
    },
  });
  const corrupted = BLOB.bytes.with(0, 1 + (BLOB.bytes[0] ?? 0));
  const bytes = makeTar([
    ["kubepkg.json", JSON.stringify(kubepkg)],
    ["what", ""],
    [fileOf(BLOB)[0], corrupted],
    [fileOf(third)[0], third.bytes.slice(1)],
    fileOf(makeBlob(10)),
  ]);
  const { problems } = await verifyBundle(streamOf(bytes));
  assertEquals(problems.map(({ digest, images }) => [digest, images]), [
    [undefined, undefined],
    [BLOB.descriptor.digest, ["docker.io/library/app:1"]],
    [undefined, undefined],
    [undefined, undefined],
    [other.descriptor.digest, ["docker.io/library/b:1"]],
    [third.descriptor.digest, ["docker.io/library/b:1"]],
    // An image without a digest.
    [undefined, ["docker.io/library/b:1"]],
    [IMAGE.root.descriptor.digest, ["docker.io/library/app:1"]],
  ]);
  const messages = problems.map(({ message }) => message).join("\n");
  for (
    const text of [
      '"what", which does not belong in a bundle',
      "the content has digest",
      "has 299 bytes",
      "does not list",
      "it is missing",
    ]
  ) {
    assertStringIncludes(messages, text);
  }
});

Deno.test("[48] verifyBundle() lists what is missing in a truncated bundle", async () => {
  const store = await fillStore(new MemoryStore(), { "app:1": IMAGE });
  const { bytes } = await pack(makeKubePkg({ "app:1": "" }), store);
  const { problems } = await verifyBundle(streamOf(bytes.slice(0, bytes.length / 2)));
  assertStringIncludes(problems[0]?.message ?? "", "Cannot");
  assert(problems.some(({ digest }) => digest === IMAGE.root.descriptor.digest));
  const { problems: none } = await verifyBundle(
    streamOf(makeTgz([["kubepkg.json", JSON.stringify(makeKubePkg({ "app:1": IMAGE.root.descriptor.digest }))]])),
  );
  assertEquals(none.map(({ digest }) => digest), [IMAGE.root.descriptor.digest]);
});
