import { type ImageEntries, openImageEntries } from "../../../lib/bundle/image_entries.ts";
import { ImageFile } from "../../../lib/bundle/image_file.ts";
import { formatIndexEntries } from "../../../lib/bundle/bundle_layout.ts";
import { blobEntryName } from "../../../lib/bundle/entry_names.ts";
import { readBounded } from "../../../lib/bytes/read_bounded.ts";
import { MEDIA_TYPE } from "../../../lib/oci/manifest.ts";
import { formatReference, parseReference } from "../../../lib/oci/reference.ts";
import { assertEquals, assertRejects } from "../../support/assert.ts";
import { buildArtifact, buildImage, buildIndex } from "../../support/images.ts";
import { Random } from "../../support/random.ts";
import { makeTar } from "../../support/tar.ts";

const NAME = "registry.test/app:1";
// Larger than what is kept in memory.
const image = buildImage({
  files: [{ a: new Random(1).bytes(300_000) }, { b: new Random(2).bytes(300_000) }],
  layerCompression: "none",
});
const index = buildIndex([image, buildImage({ platform: "linux/arm64" })]);

/** The files of an image layout: every manifest, then every blob, without those of `without`. */
function layoutOf(name: string | undefined, without: readonly string[] = []): Record<string, string | Uint8Array> {
  const [entry] = formatIndexEntries([{ reference: parseReference(name ?? NAME), descriptor: index.root }]);
  const manifests = [name === undefined ? index.root : entry];
  const contents = [
    ...index.manifests.map(({ descriptor, bytes }) => [descriptor.digest, bytes] as const),
    ...index.blobs,
  ].filter(([digest]) => !without.includes(digest));
  return {
    "oci-layout": `{"imageLayoutVersion":"1.0.0"}`,
    "index.json": JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests }),
    ...Object.fromEntries(contents.map(([digest, bytes]) => [blobEntryName(digest), bytes])),
  };
}

/** Opens an archive, and counts how often. */
function openCounted(files: Record<string, string | Uint8Array>) {
  const counter = { opened: 0 };
  const open = (): Promise<ImageEntries> => {
    counter.opened++;
    return openImageEntries(new Blob([makeTar(files)]).stream(), "a.tar");
  };
  return { counter, open };
}

Deno.test("ImageFile reads all blobs in one go in the order of the file, and again for an earlier one", async () => {
  const { counter, open } = openCounted(layoutOf(NAME));
  const file = await ImageFile.read(open, "a.tar");
  assertEquals(file.images.map(({ reference }) => formatReference(reference)), [NAME]);
  const graph = await file.readGraph(file.images[0]!);
  assertEquals(graph.manifests.at(-1)!.descriptor.digest, index.root.digest);
  assertEquals(graph.platforms, ["linux/amd64", "linux/arm64"]);
  // The manifests were kept when the file was read.
  assertEquals(counter.opened, 1);
  const digests = [...index.blobs.keys()].sort((a, b) => file.orderOf(a) - file.orderOf(b));
  for (const digest of digests) {
    const body = await file.openBlob(digest);
    // A blob that is not read to its end is skipped.
    if (digest !== digests[1]) assertEquals(await readBounded(body!, digest, 1e6), index.blobs.get(digest));
  }
  assertEquals(counter.opened, 2);
  const last = digests.at(-1)!;
  assertEquals(await readBounded((await file.openBlob(last, 5))!, last, 1e6), index.blobs.get(last)!.subarray(5));
  // A small one is kept in memory.
  assertEquals(counter.opened, 2);
  const large = digests.find((digest) => index.blobs.get(digest)!.length > 300_000)!;
  assertEquals(await readBounded((await file.openBlob(large, 5))!, large, 1e6), index.blobs.get(large)!.subarray(5));
  assertEquals(counter.opened, 3);
  assertEquals(await file.openBlob(`sha256:${"0".repeat(64)}`), undefined);
  await file.close();
});

Deno.test("ImageFile leaves out what the file does not have", async () => {
  const arm = index.manifests[1]!.descriptor.digest;
  const { open } = openCounted(layoutOf(NAME, [arm]));
  const file = await ImageFile.read(open, "a.tar");
  const graph = await file.readGraph(file.images[0]!);
  assertEquals(graph.manifests.map(({ descriptor }) => descriptor.digest), [image.root.digest, index.root.digest]);
  await file.close();
});

Deno.test("ImageFile reads what is attached to an image, in any order, and reports what the file does not have", async () => {
  const sbom = buildArtifact(index.root, "application/spdx+json");
  const signature = buildArtifact(sbom.root, "application/vnd.dev.cosign.artifact.sig.v1+json");
  const tagged = buildImage({ files: { "sig.json": "{}" } });
  const missing = buildArtifact(index.root, "missing");
  const foreign = buildArtifact(buildImage({ platform: "linux/arm/v7" }).root, "foreign");
  const names: [string, typeof sbom][] = [
    [`registry.test/app@${signature.root.digest}`, signature],
    [`registry.test/app@${sbom.root.digest}`, sbom],
    [`registry.test/app:${index.root.digest.replace(":", "-")}.sig`, tagged],
    [`registry.test/app@${missing.root.digest}`, missing],
    [`registry.test/app@${foreign.root.digest}`, foreign],
    [`registry.test/other@${sbom.root.digest}`, sbom],
  ];
  const manifests = formatIndexEntries([
    { reference: parseReference(NAME), descriptor: index.root },
    ...names.map(([name, { root }]) => ({ reference: parseReference(name), descriptor: root, isReferrer: true })),
  ]);
  const contents = [sbom, signature, tagged, foreign].flatMap(({ manifests, blobs }) => [
    ...manifests.map(({ descriptor, bytes }) => [blobEntryName(descriptor.digest), bytes] as const),
    ...[...blobs].map(([digest, bytes]) => [blobEntryName(digest), bytes] as const),
  ]);
  const { open } = openCounted({
    ...layoutOf(NAME),
    "index.json": JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests }),
    ...Object.fromEntries(contents),
  });
  const file = await ImageFile.read(open, "a.tar");
  assertEquals(file.images.map(({ reference }) => formatReference(reference)), [NAME]);
  const { graphs, problems } = await file.readAttached(await file.readGraph(file.images[0]!));
  assertEquals(graphs.map(({ digest }) => digest), [sbom, tagged, signature].map(({ root }) => root.digest));
  assertEquals(problems, [`its referrer ${missing.root.digest} is left out: a.tar does not have it`]);
  await file.close();
});

Deno.test("ImageFile refuses what is no complete archive of named images", async () => {
  const hash = "a".repeat(64);
  const rows: [files: Record<string, string | Uint8Array>, message: string][] = [
    [layoutOf(undefined), "it names no image; load it first with a name (crpe load a.tar --name IMAGE)"],
    [{ [`${hash}.json`]: "{}", "manifest.json": "[]" }, "it has no index.json; load it first (crpe load a.tar)"],
    [{ [`pieces/sha256/${hash}/0`]: "a" }, "it is a part of a split bundle"],
    [{ "index.json": "[]" }, "it is not a JSON object"],
  ];
  for (const [files, message] of rows) {
    await assertRejects(() => ImageFile.read(openCounted(files).open, "a.tar"), Error, message);
  }
  const damaged = { ...layoutOf(NAME), [blobEntryName(index.root.digest)]: "{}" };
  const file = await ImageFile.read(openCounted(damaged).open, "a.tar");
  await assertRejects(() => file.readGraph(file.images[0]!), Error, "Cannot accept sha256:");
});
