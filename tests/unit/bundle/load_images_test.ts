import { gzipSync } from "node:zlib";
import {
  type ImageEntries,
  openImageEntries,
  openLayoutFolder,
  type ReadProgress,
} from "../../../lib/bundle/image_entries.ts";
import { loadImages } from "../../../lib/bundle/load_images.ts";
import { FileSource, type SeekableFile } from "../../../lib/bytes/file_source.ts";
import { computeDigest } from "../../../lib/oci/digest.ts";
import { CorruptError } from "../../../lib/oci/error.ts";
import { parseManifest } from "../../../lib/oci/manifest.ts";
import { DiskStore } from "../../../lib/store/disk_store.ts";
import { assert, assertEquals, assertRejects } from "../../support/assert.ts";
import { CountedFile } from "../../support/counted_file.ts";
import { makeTar } from "../../support/tar.ts";
import { TestFolder } from "../../support/test_folder.ts";

const TYPE = "application/vnd.oci.image.manifest.v1+json";
const INLINE = {
  mediaType: "application/vnd.oci.image.config.v1+json",
  digest: computeDigest(new TextEncoder().encode("{}")),
  size: 2,
};

// An archive of crane: its layers are compressed, and the manifest is made from the config.
const layer = makeTar({ "a.txt": "a" });
const compressed = new Uint8Array(gzipSync(layer));
const config = JSON.stringify({
  os: "linux",
  architecture: "amd64",
  rootfs: { type: "layers", diff_ids: [computeDigest(layer)] },
});
const ARCHIVE = makeTar({
  "config.json": config,
  [`${"a".repeat(64)}.tar.gz`]: compressed,
  "manifest.json": JSON.stringify([
    { Config: "config.json", RepoTags: ["registry.test/app:1"], Layers: [`${"a".repeat(64)}.tar.gz`] },
  ]),
});

function streamInPieces(bytes: Uint8Array, length: number): ReadableStream<Uint8Array> {
  let at = 0;
  return new ReadableStream({
    pull(controller) {
      if (at >= bytes.length) return controller.close();
      controller.enqueue(bytes.slice(at, at += length));
    },
  });
}

const named = { Config: "config.json", RepoTags: ["registry.test/app:1"], Layers: [`${"a".repeat(64)}.tar.gz`] };
const OTHER = `${"b".repeat(64)}.json`;
const digests = ["1", "2"].map((digit) => `sha256:${digit.repeat(64)}`);
const entry = (digest: string, annotations = {}) => ({ mediaType: TYPE, digest, size: 1, annotations });
const NAME = "io.containerd.image.name";
const TAG = "org.opencontainers.image.ref.name";
for (
  const [what, documents, unnamed] of [
    ["docker's manifest.json", { "manifest.json": [named, { ...named, Config: OTHER, RepoTags: null }] }, [OTHER]],
    ["an index.json", { "index.json": [entry(digests[0]!), entry(digests[1]!, { [TAG]: "3" })] }, [digests[0], "3"]],
    ["names for all", { "manifest.json": [named] }, undefined],
  ] as const
) {
  Deno.test(`loadImages() reports the images without a name in an archive with ${what}`, async () => {
    await using folder = await TestFolder.create();
    const store = new DiskStore(folder.path);
    const files: Record<string, string | Uint8Array<ArrayBuffer>> = { "config.json": config };
    files[`${"a".repeat(64)}.tar.gz`] = compressed;
    for (const [name, list] of Object.entries(documents)) {
      const manifest = JSON.stringify({ schemaVersion: 2, mediaType: TYPE, config: INLINE, layers: [] });
      files[`blobs/sha256/${INLINE.digest.slice("sha256:".length)}`] = "{}";
      files[`blobs/sha256/${computeDigest(new TextEncoder().encode(manifest)).slice("sha256:".length)}`] = manifest;
      const root = computeDigest(new TextEncoder().encode(manifest));
      const whole = { ...entry(root, { [NAME]: "registry.test/app:1" }), size: manifest.length };
      files[name] = JSON.stringify(name === "index.json" ? { schemaVersion: 2, manifests: [whole, ...list] } : list);
    }
    let skipped: readonly string[] | undefined;
    const images = await loadImages(await openImageEntries(new Blob([makeTar(files)]).stream(), "a.tar"), store, {
      what: "a.tar",
      onUnnamed: (names) => skipped = names,
    });
    assertEquals([images.map(({ reference }) => reference), skipped], [["registry.test/app:1"], unnamed]);
  });
}

for (const length of [1, 3, 513, ARCHIVE.length]) {
  Deno.test(`loadImages() sees the compression of a layer in an archive that arrives ${length} bytes at a time`, async () => {
    await using folder = await TestFolder.create();
    const store = new DiskStore(folder.path);
    const options = { what: "a.tar" };
    const [image] = await loadImages(
      await openImageEntries(streamInPieces(ARCHIVE, length), "a.tar"),
      store,
      options,
    );
    const manifest = parseManifest((await store.readManifest("registry.test/app", image!.digest))!);
    assertEquals(
      manifest.kind === "manifest" && manifest.layers.map(({ mediaType, digest, size }) => [mediaType, digest, size]),
      [
        ["application/vnd.oci.image.layer.v1.tar+gzip", computeDigest(compressed), compressed.length],
      ],
    );
  });
}

for (
  const [what, name, reason] of [
    ["a part of a split bundle", `pieces/sha256/${"a".repeat(64)}/0`, "it is a part of a split bundle"],
    ["a bundle with deltas", `deltas/sha256/${"a".repeat(64)}`, "it has layers as deltas"],
  ] as const
) {
  Deno.test(`loadImages() names crpe import for ${what}`, async () => {
    await using folder = await TestFolder.create();
    const archive = makeTar({ [name]: "a", "manifest.json": "[]" });
    const entries = await openImageEntries(streamInPieces(archive, 1000), "a.tar");
    const options = { what: "a.tar" };
    const error = await assertRejects(() => loadImages(entries, new DiskStore(folder.path), options), CorruptError);
    assertEquals(error.message, `Cannot load a.tar: ${reason}, which crpe import reads`);
  });
}

Deno.test("loadImages() loads the images of a signed bundle", async () => {
  await using folder = await TestFolder.create();
  const archive = makeTar({
    "kubepkg.json": "{}",
    "kubepkg.json.sig": "a",
    "config.json": config,
    [`${"a".repeat(64)}.tar.gz`]: compressed,
    "manifest.json": JSON.stringify([named]),
  });
  const options = { what: "a.tar" };
  const entries = await openImageEntries(new Blob([archive]).stream(), "a.tar");
  const images = await loadImages(entries, new DiskStore(folder.path), options);
  assertEquals(images.map(({ reference }) => reference), ["registry.test/app:1"]);
});

for (
  const [what, open, total] of [
    ["a tar", (file: SeekableFile) => openImageEntries(new FileSource(file), "a.tar"), ARCHIVE.length],
    ["a stream", () => openImageEntries(streamInPieces(ARCHIVE, 1000), "a.tar"), undefined],
  ] as const
) {
  Deno.test(`loadImages() reports the bytes read of ${what}`, async () => {
    await using folder = await TestFolder.create();
    const entries = await open(new CountedFile(ARCHIVE));
    assertEquals(await progressOf(entries, folder), { bytes: ARCHIVE.length, total });
  });
}

Deno.test("loadImages() reports the compressed bytes read of a compressed archive", async () => {
  await using folder = await TestFolder.create();
  const file = new Uint8Array(gzipSync(ARCHIVE));
  const entries = await openImageEntries(new FileSource(new CountedFile(file)), "a.tgz");
  assertEquals(await progressOf(entries, folder), { bytes: file.length, total: file.length });
});

for (const isLoaded of [false, true]) {
  Deno.test(`loadImages() reports the bytes of a folder, also of ${isLoaded ? "content that is there" : "new content"}`, async () => {
    await using folder = await TestFolder.create();
    const manifest = JSON.stringify({ schemaVersion: 2, mediaType: TYPE, config: INLINE, layers: [] });
    const digest = computeDigest(new TextEncoder().encode(manifest));
    const root = { ...entry(digest, { [NAME]: "registry.test/app:1" }), size: manifest.length };
    const files = {
      [`blobs/sha256/${INLINE.digest.slice("sha256:".length)}`]: "{}",
      [`blobs/sha256/${digest.slice("sha256:".length)}`]: manifest,
      "index.json": JSON.stringify({ schemaVersion: 2, manifests: [root] }),
      "oci-layout": "{}",
    };
    for (const [name, content] of Object.entries(files)) await folder.write(`layout/${name}`, content);
    const total = Object.values(files).reduce((sum, content) => sum + content.length, 0);
    if (isLoaded) await progressOf(await openLayoutFolder(`${folder.path}/layout`), folder);
    assertEquals(await progressOf(await openLayoutFolder(`${folder.path}/layout`), folder), { bytes: total, total });
  });
}

/** Loads an archive, and returns its last progress. Progress never goes back. */
async function progressOf(entries: ImageEntries, folder: TestFolder): Promise<ReadProgress | undefined> {
  let last: ReadProgress | undefined;
  await loadImages(entries, new DiskStore(folder.path), {
    what: "a.tar",
    onProgress: (progress) => {
      assert(progress.bytes >= (last?.bytes ?? 0), "progress goes back");
      last = progress;
    },
  });
  return last && { bytes: last.bytes, total: last.total };
}
