import { gzipSync, zstdCompressSync } from "node:zlib";
import { type ImageEntries, openImageEntries, openLayoutFolder } from "../../../lib/bundle/image_entries.ts";
import { loadImages } from "../../../lib/bundle/load_images.ts";
import type { LoadedImage } from "../../../lib/bundle/store_image.ts";
import { joinChunks } from "../../../lib/bytes/join_chunks.ts";
import { computeDigest, type Digest } from "../../../lib/oci/digest.ts";
import { CorruptError, IncompleteError, RefusedError } from "../../../lib/oci/error.ts";
import { MEDIA_TYPE, parseManifest } from "../../../lib/oci/manifest.ts";
import { DiskStore } from "../../../lib/store/disk_store.ts";
import { assert, assertEquals, assertRejects } from "../../support/assert.ts";
import { makeTar } from "../../support/tar.ts";
import { TestFolder } from "../../support/test_folder.ts";

const text = (it: string) => new TextEncoder().encode(it);
const LAYER = makeTar({ "a.txt": "a" });
const GZIP = new Uint8Array(gzipSync(LAYER));
const ZSTD = new Uint8Array(zstdCompressSync(LAYER));
// The end of a tar is a tar without files.
const EMPTY = new Uint8Array(1024);
const configOf = (...layers: readonly Uint8Array<ArrayBuffer>[]) =>
  JSON.stringify({
    os: "linux",
    architecture: "amd64",
    rootfs: { type: "layers", diff_ids: layers.map((layer) => computeDigest(layer)) },
  });
const CONFIG = configOf(LAYER);

type Files = Readonly<Record<string, string | Uint8Array>>;

const NAME = "registry.test/app:1";

/** Loads an archive that arrives as a stream. */
async function load(files: Files, folder: TestFolder, store = new DiskStore(folder.path)): Promise<LoadedImage[]> {
  return await loadEntries(await openImageEntries(new Blob([makeTar(files)]).stream(), "a.tar"), folder, store);
}

async function loadEntries(
  entries: ImageEntries,
  folder: TestFolder,
  store = new DiskStore(folder.path),
): Promise<LoadedImage[]> {
  return await loadImages(entries, store, { what: "a.tar" });
}

/** Loads an archive with one image, and returns the digests of its layers. */
async function loadLayers(files: Files): Promise<string[]> {
  await using folder = await TestFolder.create();
  const store = new DiskStore(folder.path);
  const [image, ...others] = await load(files, folder, store);
  assertEquals([image?.reference, others], [NAME, []]);
  const manifest = parseManifest((await store.readManifest("registry.test/app", image!.digest))!);
  return manifest.kind === "index" ? [] : manifest.layers.map(({ digest }) => digest);
}

for (
  const [what, rootfs, layers] of [
    ["no list of layers in its config, and an empty one in manifest.json", { type: "layers" }, []],
    ["no list of layers in its config, and null in manifest.json", { type: "layers" }, null],
    ["no list of layers in its config, and none in manifest.json", { type: "layers" }, undefined],
    ["null in its config, and null in manifest.json", { type: "layers", diff_ids: null }, null],
    ["null in its config, and an empty list in manifest.json", { type: "layers", diff_ids: null }, []],
    ["an empty list in its config, and null in manifest.json", { type: "layers", diff_ids: [] }, null],
    ["no rootfs", undefined, null],
    ["null as rootfs", null, []],
  ] as const
) {
  Deno.test(`[74] loadImages() loads an image without layers that has ${what}`, async () => {
    const image = { Config: "config.json", RepoTags: [NAME], Layers: layers };
    const config = { os: "linux", architecture: "amd64", rootfs };
    assertEquals(
      await loadLayers({ "config.json": JSON.stringify(config), "manifest.json": JSON.stringify([image]) }),
      [],
    );
  });
}

for (
  const [what, config] of [
    ["a config with more layers", { rootfs: { diff_ids: [`sha256:${"0".repeat(64)}`] } }],
    ["a config whose layers are no list", { rootfs: { diff_ids: {} } }],
    ["a config whose rootfs is no object", { rootfs: "layers" }],
  ] as const
) {
  Deno.test(`[74] loadImages() refuses an image without layers that has ${what}`, async () => {
    await using folder = await TestFolder.create();
    const image = { Config: "config.json", RepoTags: [NAME], Layers: null };
    const files = { "manifest.json": JSON.stringify([image]), "config.json": JSON.stringify(config) };
    const error = await assertRejects(() => load(files, folder), CorruptError);
    assertEquals(
      error.message,
      "Cannot load a.tar: the config config.json does not have the 0 layers of its image",
    );
  });
}

const hex = (content: string | Uint8Array<ArrayBuffer>) => {
  return computeDigest(typeof content === "string" ? text(content) : content).slice("sha256:".length);
};
const RANDOM = makeTar({ "a": crypto.getRandomValues(new Uint8Array(60_000)) });
const MEMBERS: readonly (readonly [config: string, layer: string, content?: Uint8Array<ArrayBuffer>])[] = [
  [`blobs/sha256/${hex(CONFIG)}`, `blobs/sha256/${hex(GZIP)}.tar.gz`, GZIP],
  ["config.json", "0.tar"],
  ["a", "b"],
  ["Image.JSON", "LAYER.TGZ", GZIP],
  ["image/config", "image/layers/0/layer.tar.zst", ZSTD],
  [`${"c".repeat(40)}/${"d".repeat(40)}`, `${"e".repeat(90)}/l.tar`],
  ["ein Bild.json", "Schicht ä (1)", GZIP],
  ["._config", ".layer", ZSTD],
  ["config.json", "deltas/layer.tar"],
  ["config.json", "pieces/layer.tar"],
  ["config.json", "0.tar", EMPTY],
  ["config.json", "0.tgz", new Uint8Array(gzipSync(EMPTY))],
  ["config.json", "0.tgz", new Uint8Array(gzipSync(RANDOM, { level: 0 }))],
];
for (const [config, layer, content = LAYER] of MEMBERS) {
  const members: Files = { [config]: configOf(content === EMPTY ? EMPTY : LAYER), [layer]: content };
  for (
    const [how, prefix, isLast] of [
      ["and is last", "", true],
      ["and is first", "", false],
      ["with ./ before them", "./", true],
      ["with a folder that ends where it begins", "x/.././", true],
    ] as const
  ) {
    Deno.test(`[112] loadImages() takes the members that manifest.json names ${how}: ${config}, ${layer}`, async () => {
      const image = { Config: `${prefix}${config}`, RepoTags: [NAME], Layers: [`${prefix}${layer}`] };
      const manifest = { "manifest.json": JSON.stringify([image]) };
      const files = isLast ? { ...members, ...manifest } : { ...manifest, ...members };
      assertEquals(await loadLayers(files), [computeDigest(content)]);
    });
  }
}

for (const name of ["README", "._0.tar", "PaxHeader/x", "pax_global_header", "sbom.spdx.yaml", "web/Chart.yaml"]) {
  Deno.test(`[112] loadImages() passes over a file that belongs to no image: ${name}`, async () => {
    await using folder = await TestFolder.create();
    const image = { Config: "c", RepoTags: [NAME], Layers: ["0.tar"] };
    const files = { [name]: "Some text\n", "c": CONFIG, "0.tar": LAYER, "manifest.json": JSON.stringify([image]) };
    assertEquals((await load(files, folder)).map(({ reference }) => reference), [NAME]);
    const blobs = (await folder.listFiles()).filter((it) => it.includes("blobs/"));
    assertEquals(blobs.some((it) => it.includes(hex("Some text\n"))), false);
  });
}

for (
  const [what, files, reason] of [
    ...[["text", "text"], ["compressed text", new Uint8Array(gzipSync("text".repeat(1000)))]].map(([what, layer]) =>
      [
        `a layer that is ${what}`,
        { "0.tar": layer!, "c": CONFIG },
        'its manifest.json names "./0.tar", which is neither a JSON object nor a tar (plain, gzip or zstd)',
      ] as const
    ),
    ["a layer that is missing", { "c": CONFIG }, 'its manifest.json names "./0.tar", which is missing'],
    ["a config that is missing", { "0.tar": LAYER }, 'its manifest.json names "c", which is missing'],
  ] as const
) {
  Deno.test(`[112] loadImages() refuses an archive with ${what}`, async () => {
    await using folder = await TestFolder.create();
    const image = { Config: "c", RepoTags: [NAME], Layers: ["./0.tar"] };
    const error = await assertRejects(
      () => load({ ...files, "manifest.json": JSON.stringify([image]) }, folder),
      CorruptError,
    );
    assertEquals(error.message, `Cannot load a.tar: ${reason}`);
  });
}

Deno.test("[112] loadImages() refuses a tar with other files, and stores none of them", async () => {
  await using folder = await TestFolder.create();
  const error = await assertRejects(
    () => load({ "web/Chart.yaml": "name: web", "notes.txt": "a" }, folder),
    CorruptError,
  );
  assertEquals(
    [error.exit, error.message],
    [1, "Cannot load a.tar: it has no index.json and no manifest.json: it is no image archive"],
  );
  assertEquals((await folder.listFiles()).filter((it) => it.includes("blobs/")), []);
});

// Gives the first entry the type of a hard link.
function asHardLink(tar: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const header = tar.slice(0, 512);
  header[156] = "1".charCodeAt(0);
  header.fill(32, 148, 156);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.set(text(`${sum.toString(8).padStart(6, "0")}\0 `), 148);
  return joinChunks([header, tar.subarray(512)]);
}

const LOADABLE = { "c": CONFIG, "0.tar": LAYER };
for (
  const [what, tar] of [
    [".dockerenv, as docker export writes it", makeTar({ ".dockerenv": "", ...LOADABLE })],
    ["./ before its names", makeTar({ "./.dockerenv": "", ...LOADABLE })],
    ["a folder alone", makeTar({ "etc/": "", ...LOADABLE })],
    ["a folder with ./", makeTar({ "./proc/": "", ...LOADABLE })],
    ["a file in a folder without an entry", makeTar({ "usr/share/man/man1/a.1.gz": GZIP })],
    ["a hard link", asHardLink(makeTar({ "bin": "" }))],
  ] as const
) {
  Deno.test(`[112] loadImages() refuses a file system at its first mark, and stores nothing: ${what}`, async () => {
    await using folder = await TestFolder.create();
    const entries = () => openImageEntries(new Blob([tar]).stream(), "a.tar");
    const error = await assertRejects(async () => await loadEntries(await entries(), folder), CorruptError);
    assertEquals(
      [error.exit, error.message],
      [1, "Cannot read a.tar: it is a file system, as docker export writes it; docker save writes the image"],
    );
    assertEquals(await folder.listFiles(), []);
  });
}

/** A manifest of one layer, with the file of an image layout for each of its contents. */
function layOut(architecture: string): { readonly digest: Digest; readonly size: number; readonly files: Files } {
  const config = JSON.stringify({ os: "linux", architecture, rootfs: { diff_ids: [computeDigest(LAYER)] } });
  const of = (mediaType: string, content: Uint8Array<ArrayBuffer>) => {
    return { mediaType, digest: computeDigest(content), size: content.length };
  };
  const manifest = JSON.stringify({
    schemaVersion: 2,
    config: of("application/vnd.oci.image.config.v1+json", text(config)),
    layers: [of("application/vnd.oci.image.layer.v1.tar", LAYER)],
  });
  const files = Object.fromEntries([config, manifest, LAYER].map((it) => [`blobs/sha256/${hex(it)}`, it]));
  return { digest: computeDigest(text(manifest)), size: manifest.length, files };
}

const [AMD64, ARM64] = [layOut("amd64"), layOut("arm64")];
const indexOf = (...entries: readonly (readonly [image: typeof AMD64, annotations: object])[]) =>
  JSON.stringify({
    schemaVersion: 2,
    manifests: entries.map(([{ digest, size }, annotations]) => {
      return { mediaType: MEDIA_TYPE.ociManifest, digest, size, annotations };
    }),
  });
const REF_NAME = "org.opencontainers.image.ref.name";
const FULL_NAME = "io.containerd.image.name";
const dockerImage = ({ digest, files }: typeof AMD64, tag: string) => {
  const [Config, ...others] = Object.keys(files).filter((name) => !name.endsWith(digest.slice("sha256:".length)));
  return { Config, Layers: others, RepoTags: [tag] };
};
for (
  const [what, documents] of [
    ["index.json", { "index.json": indexOf([AMD64, { [REF_NAME]: NAME }], [ARM64, { [REF_NAME]: NAME }]) }],
    ["index.json, spelt in two ways", {
      "index.json": indexOf([AMD64, { [REF_NAME]: "app:latest" }], [ARM64, { [FULL_NAME]: "docker.io/library/app" }]),
    }],
    ["manifest.json", { "manifest.json": JSON.stringify([dockerImage(AMD64, NAME), dockerImage(ARM64, NAME)]) }],
  ] as const
) {
  Deno.test(`[112] loadImages() refuses an archive with two images of one name in ${what}, and tags none`, async () => {
    await using folder = await TestFolder.create();
    const store = new DiskStore(folder.path);
    const error = await assertRejects(
      () => load({ ...AMD64.files, ...ARM64.files, ...documents }, folder, store),
      RefusedError,
    );
    const name = what.includes("two ways") ? "docker.io/library/app:latest" : NAME;
    const start = `Cannot load ${name} of a.tar: it has two images with this name, sha256:`;
    assertEquals([error.exit, error.message.slice(0, start.length)], [3, start]);
    for (const repository of ["registry.test/app", "docker.io/library/app"]) {
      assertEquals((await store.listTags(repository))?.tags ?? [], []);
    }
  });
}

Deno.test("[112] loadImages() loads an image once that index.json lists twice, and two images by their digests", async () => {
  await using folder = await TestFolder.create();
  const byDigest = ({ digest }: typeof AMD64) => ({ [FULL_NAME]: `registry.test/app@${digest}` });
  const entries = [[AMD64, { [FULL_NAME]: NAME }], [AMD64, { [REF_NAME]: NAME }], [AMD64, byDigest(AMD64)], [
    ARM64,
    byDigest(ARM64),
  ]] as const;
  const loaded = await load({ ...AMD64.files, ...ARM64.files, "index.json": indexOf(...entries) }, folder);
  assertEquals(
    loaded.map(({ reference, digest }) => [reference, digest]),
    [
      [NAME, AMD64.digest],
      [`registry.test/app@${AMD64.digest}`, AMD64.digest],
      [`registry.test/app@${ARM64.digest}`, ARM64.digest],
    ],
  );
});

for (const name of ["usr/layer.tar", "etc/layer.tar"]) {
  Deno.test(`[112] loadImages() takes ${name} where manifest.json came before it`, async () => {
    const image = { Config: "c", RepoTags: [NAME], Layers: [name] };
    const files = { "manifest.json": JSON.stringify([image]), "c": CONFIG, [name]: LAYER };
    assertEquals(await loadLayers(files), [computeDigest(LAYER)]);
  });
}

const BESIDE = { "app.sql.gz": new Uint8Array(gzipSync("sql")), "backup.tgz": GZIP, "notes.json": "{}", "empty": "" };
for (
  const [what, files, isImage] of [
    ["index.json", { ...ARM64.files, "index.json": indexOf([ARM64, { [REF_NAME]: NAME }]), "oci-layout": "{}" }, true],
    [
      "index.json and a manifest.json of another program",
      { ...ARM64.files, "index.json": indexOf([ARM64, { [REF_NAME]: NAME }]), "manifest.json": "{}" },
      true,
    ],
    [
      "manifest.json",
      { "z/c": CONFIG, "z/0": LAYER, "manifest.json": `[{"Config":"./z/c","RepoTags":["${NAME}"],"Layers":["z/0"]}]` },
      true,
    ],
    ["neither", ARM64.files, false],
  ] as const
) {
  Deno.test(`[112] loadImages() opens of a folder what belongs to its images alone: with ${what}`, async () => {
    await using folder = await TestFolder.create();
    const all: Files = { ...files, ...BESIDE };
    for (const [name, content] of Object.entries(all)) await folder.write(`layout/${name}`, content);
    const entries = await openLayoutFolder(`${folder.path}/layout`);
    const opened: string[] = [];
    const counted: ImageEntries = {
      links: entries.links,
      isIndexFirst: entries.isIndexFirst,
      progress: entries.progress,
      cancel: (reason) => entries.cancel(reason),
      next: async () => {
        const entry = await entries.next();
        return entry && { ...entry, open: () => (opened.push(entry.name), entry.open()) };
      },
    };
    if (isImage) {
      assertEquals((await loadEntries(counted, folder)).map(({ reference }) => reference), [NAME]);
      assertEquals(opened.sort(), Object.keys(files).filter((it) => it !== "oci-layout").sort());
    } else {
      const error = await assertRejects(() => loadEntries(counted, folder), CorruptError);
      assertEquals([error.exit, opened], [1, []]);
    }
  });
}

Deno.test("[112] loadImages() stores no empty file, no large JSON document, and no gzip file that is no tar", async () => {
  await using folder = await TestFolder.create();
  const large = `{"a":"${"a".repeat(4 * 1024 * 1024)}"}`;
  const image = { Config: "c", RepoTags: [NAME], Layers: ["0.tar"] };
  const dump = new Uint8Array(gzipSync("INSERT INTO a VALUES (1);\n".repeat(10_000)));
  const others = { "empty": "", "large.json": large, "app.sql.gz": dump };
  const files = { ...LOADABLE, ...others, "manifest.json": JSON.stringify([image]) };
  assertEquals((await load(files, folder)).map(({ reference }) => reference), [NAME]);
  const blobs = (await folder.listFiles()).filter((it) => it.includes("blobs/"));
  for (const other of Object.values(others)) assert(!blobs.some((blob) => blob.includes(hex(other))));
});

Deno.test("[112] loadImages() stores an empty file that is a layer", async () => {
  await using folder = await TestFolder.create();
  const store = new DiskStore(folder.path);
  const image = { Config: "c", RepoTags: [NAME], Layers: ["empty"] };
  const files = { "empty": "", "c": configOf(new Uint8Array()), "manifest.json": JSON.stringify([image]) };
  assertEquals((await load(files, folder, store)).map(({ reference }) => reference), [NAME]);
  assertEquals(await store.statBlob("registry.test/app", computeDigest(new Uint8Array())), 0);
});

const inline = (mediaType: string, content: string, data: string | null = btoa(content)) => {
  return { mediaType, digest: computeDigest(text(content)), size: content.length, data };
};
const [EMPTY_TYPE, OTHER_TYPE] = ["application/vnd.oci.empty.v1+json", "application/vnd.test.layer"];
for (
  const [what, config, layer] of [
    ["an empty config with data", inline(EMPTY_TYPE, "{}"), undefined],
    ["an empty config without data", inline(EMPTY_TYPE, "{}", null), undefined],
    ["a config and a layer with data", inline("application/vnd.test.config", '{"a":1}'), inline(OTHER_TYPE, "a layer")],
    ["an empty layer", inline(EMPTY_TYPE, "{}"), inline(EMPTY_TYPE, "{}")],
    ["a layer without bytes", inline(EMPTY_TYPE, "{}"), inline(OTHER_TYPE, "")],
  ] as const
) {
  Deno.test(`[112] loadImages() takes content that is only in its descriptor: ${what}`, async () => {
    await using folder = await TestFolder.create();
    const store = new DiskStore(folder.path);
    const layers = layer === undefined ? [] : [layer];
    const [image] = await load(layOutArtifact(config, layers), folder, store);
    assertEquals(image?.reference, NAME);
    for (const { digest, size } of [config, ...layers]) {
      assertEquals(await store.statBlob("registry.test/app", digest), size);
    }
  });
}

for (
  const [what, layer] of [
    ["other bytes", { ...inline(OTHER_TYPE, "a layer"), data: btoa("another") }],
    ["no base64", { ...inline(OTHER_TYPE, "a layer"), data: "!!!!!!!!!!!!" }],
    ["nothing", { ...inline(OTHER_TYPE, "a layer"), data: undefined }],
  ] as const
) {
  Deno.test(`[112] loadImages() refuses an image whose layer is only in its descriptor, with ${what}`, async () => {
    await using folder = await TestFolder.create();
    const files = layOutArtifact(inline(EMPTY_TYPE, "{}"), [layer]);
    const error = await assertRejects(() => load(files, folder), IncompleteError);
    assertEquals(error.missing, [layer.digest]);
  });
}

function layOutArtifact(config: object, layers: readonly object[]): Files {
  const manifest = JSON.stringify({ schemaVersion: 2, artifactType: "application/vnd.test", config, layers });
  const image = { digest: computeDigest(text(manifest)), size: manifest.length, files: {} };
  return { [`blobs/sha256/${hex(manifest)}`]: manifest, "index.json": indexOf([image, { [REF_NAME]: NAME }]) };
}
