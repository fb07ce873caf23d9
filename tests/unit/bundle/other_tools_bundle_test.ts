import { gzipSync } from "node:zlib";
import { inspectBundle } from "../../../lib/bundle/inspect_bundle.ts";
import { listBundleDigests } from "../../../lib/bundle/list_digests.ts";
import { readBundle } from "../../../lib/bundle/read_bundle.ts";
import { verifyBundle } from "../../../lib/bundle/verify_bundle.ts";
import type { Digest } from "../../../lib/oci/digest.ts";
import { CorruptError } from "../../../lib/oci/error.ts";
import { assertEquals, assertRejects } from "../../support/assert.ts";
import { streamOf } from "../../support/content.ts";
import { linesOf } from "../install/import_support.ts";
import { fileOf, filesOf, makeTar, type TestFile } from "./bundle_support.ts";
import { A, B, LAYOUT, LIST, LIST_FILES, PACKAGE_A, PACKAGE_B } from "./list_bundle.ts";

/** The digests of the blobs of a bundle, as a reader sees them. */
async function read(bytes: Uint8Array<ArrayBuffer>): Promise<Digest[]> {
  const bundle = await readBundle(streamOf(bytes));
  const found: Digest[] = [];
  for (let blob = await bundle.next(); blob !== undefined; blob = await bundle.next()) found.push(blob.digest);
  return found;
}

const [DOCUMENT, ...BLOBS] = filesOf(PACKAGE_A, A);
const UNDECLARED: TestFile = ["kubepkg.json", JSON.stringify({ ...PACKAGE_A, status: undefined })];
const MANY_LINES: TestFile = [
  "kubepkg.json",
  JSON.stringify({ ...PACKAGE_A, status: { digests: [...linesOf(A, "reg.test/a"), ...linesOf(A, "reg.test/c")] } }),
];

const ACCEPTED: readonly [string, readonly TestFile[]][] = [
  ["index.json and oci-layout last", [DOCUMENT!, ...BLOBS, ...LAYOUT]],
  ["oci-layout in the middle", [DOCUMENT!, BLOBS[0]!, LAYOUT[1]!, ...BLOBS.slice(1)]],
  ["manifest.json and repositories, for docker", [DOCUMENT!, ["manifest.json", "[]\n"], ...BLOBS, [
    "repositories",
    "{}",
  ]]],
  ["a blob as often as it is declared", [MANY_LINES, ...BLOBS, ...BLOBS]],
  ["a blob twice, without a declaration", [UNDECLARED, ...BLOBS, BLOBS[0]!]],
];
for (const [title, files] of ACCEPTED) {
  Deno.test(`[80] readBundle() reads a bundle with ${title}`, async () => {
    assertEquals(await read(makeTar(files)), [...A.blobs, ...A.manifests].map((it) => it.descriptor.digest));
  });
}

const REFUSED: readonly [string, readonly TestFile[], string][] = [
  ["[42] a blob more often than it is declared", [DOCUMENT!, ...BLOBS, BLOBS[0]!], "twice"],
  ["[42] a blob twice, the second with other bytes", [MANY_LINES, ...BLOBS, [
    BLOBS[0]![0],
    (BLOBS[0]![1] as Uint8Array).map((byte) => byte ^ 1),
  ]], "twice, with different bytes"],
  ["[42] a blob twice, the second of another size", [MANY_LINES, ...BLOBS, [BLOBS[0]![0], "x"]], "has 1 bytes"],
  ["[42] index.json twice, for one package", [DOCUMENT!, ...LAYOUT, ...LAYOUT], "it has index.json twice"],
  ["[42] kubepkg.json twice", [DOCUMENT!, DOCUMENT!], "it has kubepkg.json twice"],
  ["a manifest.json that is no JSON", [DOCUMENT!, ["manifest.json", "["]], "Cannot read manifest.json"],
  ["an unknown file", [DOCUMENT!, ["manifests.json", "[]"]], "does not belong in a bundle"],
  ["a package twice", [[
    "kubepkg.json",
    JSON.stringify({ ...LIST, items: [PACKAGE_A, PACKAGE_A] }),
  ]], "it holds the package default/a twice"],
  ["two packages that disagree on a size", [[
    "kubepkg.json",
    JSON.stringify({ ...LIST, items: [PACKAGE_A, sizedWrong()] }),
  ]], "two sizes"],
];
for (const [title, files, message] of REFUSED) {
  const number = /^\[\d+\] /.exec(title)?.[0] ?? "[80] ";
  Deno.test(`${number}readBundle() refuses a bundle of another tool with ${title.replace(number, "")}`, async () => {
    const bytes = makeTar(files);
    await assertRejects(() => read(bytes), CorruptError, message);
  });
}

function sizedWrong() {
  const digests = linesOf(A, "reg.test/b").map((line) => ({ ...line, size: 1 }));
  return { ...PACKAGE_B, status: { digests } };
}

// The extra field of crpe's own bundles (docs/bundle.md): the sizes in it do not matter for a stream.
function seal(tar: Uint8Array): Uint8Array<ArrayBuffer> {
  const gzip = gzipSync(tar);
  const extra = [12, 0, 0x43, 0x52, 8, 0, ...new Array<number>(8).fill(0)];
  return Uint8Array.from([...gzip.subarray(0, 3), 4, ...gzip.subarray(4, 10), ...extra, ...gzip.subarray(10)]);
}

const STRICT: readonly [string, readonly TestFile[], string][] = [
  ["a blob twice", [MANY_LINES, ...BLOBS, BLOBS[0]!], "twice"],
  ["repositories", [DOCUMENT!, ["repositories", "{}"], ...BLOBS], "does not belong in a bundle"],
  ["oci-layout twice", [["kubepkg.json", JSON.stringify(LIST)], LAYOUT[1]!, LAYOUT[1]!], "it has oci-layout twice"],
];
for (const [title, files, message] of STRICT) {
  Deno.test(`[42] readBundle() refuses a bundle that crpe packed with ${title}`, async () => {
    const tar = makeTar(files);
    await assertRejects(() => read(seal(tar)), CorruptError, message);
  });
}

Deno.test("[80] readBundle(), inspectBundle(), verifyBundle() and listBundleDigests() read a bundle of two packages", async () => {
  const bytes = makeTar(LIST_FILES);
  const digests = [
    ...new Set([...A.blobs, ...A.manifests, ...B.blobs, ...B.manifests].map((it) => it.descriptor.digest)),
  ];
  assertEquals(await read(bytes), digests);
  assertEquals((await inspectBundle(streamOf(bytes))).map(({ name, images }) => [name, images[0]?.reference]), [
    ["a", "reg.test/a:1"],
    ["b", "reg.test/b:1"],
  ]);
  const { packages, blobs, problems } = await verifyBundle(streamOf(bytes));
  assertEquals(packages, [{ name: "a", version: "1.0.0" }, { name: "b", version: "1.0.0" }]);
  assertEquals([blobs.count, problems], [digests.length, []]);
  assertEquals([...await listBundleDigests(streamOf(bytes))].sort(), digests.toSorted());
});

Deno.test("[80] verifyBundle() names the image that a missing blob of the second package breaks", async () => {
  const bytes = makeTar(LIST_FILES.filter(([name]) => name !== fileOf(B.blobs[2]!)[0]));
  const { problems } = await verifyBundle(streamOf(bytes));
  assertEquals(problems.map(({ digest, images }) => [digest, images]), [[
    B.blobs[2]!.descriptor.digest,
    ["reg.test/b:1"],
  ]]);
});
