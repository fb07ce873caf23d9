import { openImageEntries } from "../../../lib/bundle/image_entries.ts";
import { loadImages } from "../../../lib/bundle/load_images.ts";
import type { LoadedImage } from "../../../lib/bundle/store_image.ts";
import { computeDigest } from "../../../lib/oci/digest.ts";
import { CorruptError } from "../../../lib/oci/error.ts";
import { parseManifest } from "../../../lib/oci/manifest.ts";
import { addBlob } from "../../../lib/store/add_blob.ts";
import { DiskStore } from "../../../lib/store/disk_store.ts";
import { assertEquals, assertRejects } from "../../support/assert.ts";
import { makeTar } from "../../support/tar.ts";
import { TestFolder } from "../../support/test_folder.ts";

type Files = Readonly<Record<string, string | Uint8Array>>;

const NAME = "registry.test/app:1";

/** Loads an archive that arrives as a stream. */
async function load(files: Files, folder: TestFolder, store = new DiskStore(folder.path)): Promise<LoadedImage[]> {
  return await loadImages(await openImageEntries(new Blob([makeTar(files)]).stream(), "a.tar"), store, {
    what: "a.tar",
    addBlob: (body, expected) => addBlob(folder.path, body, { expected }),
  });
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
    ["a config that is a list", []],
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
